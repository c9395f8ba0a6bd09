//! What people see: tables that fit, colours only where they are wanted, and pipes that end.

use std::process::Stdio;

use super::Cli;
use crate::{
    bulk::groups,
    harness::{GROUP, Plan, key},
};

/// Every command that prints something for people. JOB, RULE, KEY, CONFIG, ADMIN and COLUMNS stand for values.
const COMMANDS: [&str; 29] = [
    "whoami",
    "get /payments/api",
    "list",
    "list --all-accounts --with-key",
    "check-key /payments/api --key closed",
    "usage good",
    "access",
    "report",
    "bulk list",
    "bulk show JOB",
    "bulk items JOB",
    "rule list",
    "rule show RULE",
    "rule evaluate RULE",
    "events list",
    "events list --action AssociateKmsKey --outcome OK",
    "events show 2",
    "context list",
    "context show",
    "limits --admin ADMIN",
    "check --config CONFIG",
    "audit list --config CONFIG",
    "audit show 2 --config CONFIG",
    "audit verify --config CONFIG",
    "policy show payments --config CONFIG",
    "policy explain --tenant payments --action AssociateKmsKey --log-group /payments/api --kms-key KEY --config CONFIG",
    "policy test decisions.toml --config CONFIG",
    "token --new-key keys-COLUMNS",
    "version",
];

/// A table of decisions, of which one is not as expected.
const DECISIONS: &str = r#"
[[case]]
name = "a caller of the tenant may read the key of a log group that belongs to the tenant"
call = { tenant = "payments", action = "GetKeyAssociation", log_group = "/payments/api" }
expect = "allow"

[[case]]
name = "a caller of the tenant may not read the key of a log group that belongs to the tenant"
call = { tenant = "payments", action = "GetKeyAssociation", log_group = "/payments/api" }
expect = "deny"
"#;

/// Words of at least this length are ids, which people copy.
const MIN_ID: usize = 30;

/// Parts of at least this length can only be parts of ids: the short forms of keys and events are shorter.
const MIN_PART: usize = 9;

/// The parts of ids that a terminal of this width has room for. `whole` is the output without line breaks.
fn broken_ids<'s>(shown: &'s str, whole: &str, columns: usize) -> Vec<&'s str> {
    let ids = || whole.split_whitespace().filter(|word| (MIN_ID..=columns).contains(&word.chars().count()));
    let is_part = |word: &&str| word.len() >= MIN_PART && ids().any(|id| id.contains(word));
    shown
        .split_whitespace()
        .filter(|word| is_part(word) && !whole.split_whitespace().any(|it| it == *word))
        .collect()
}

#[tokio::test]
async fn no_line_is_wider_than_the_terminal_and_no_id_is_broken() {
    let name = "a-group-with-a-long-name-in-production";
    let service = Plan::with_resources(|account| groups(account, name, 2)).start().await;
    let cli = Cli::of(&service);
    cli.ok(&["associate", GROUP, "--key", &key("good")]).await;
    let pattern = "/payments/a-group-*";
    // Its items are blocked, with the statement to add.
    let job = cli.ok(&["bulk", "plan", "--pattern", pattern, "--key", &key("closed"), "-o", "name"]).await;
    let rule = cli.ok(&["rule", "create", "--pattern", pattern, "--key", &key("good"), "-o", "name"]).await;
    cli.ok(&["context", "set", "a-service-in-production", "--server", "https://logkey.in-production.test"])
        .await;
    cli.ok(&["context", "use", "a-service-in-production"]).await;
    std::fs::write(cli.home().join("decisions.toml"), DECISIONS).unwrap();
    let (config, admin) = (service.settings().display().to_string(), format!("http://{}", service.admin));
    let run = async |columns: u16, command: &str| {
        let command =
            command.replace("JOB", job.trim()).replace("RULE", rule.trim()).replace("ADMIN", &admin);
        let command = command.replace("CONFIG", &config).replace("COLUMNS", &columns.to_string());
        let command = command.replace("KEY", &key("good"));
        cli.on_terminal(columns, &command, true).await
    };
    for command in COMMANDS {
        let whole = run(1000, &format!("{command} -o wide")).await;
        for columns in [60, 80, 120] {
            let shown = run(columns, command).await;
            assert!(!shown.trim().is_empty(), "{command}");
            // Errors and warnings are broken by the terminal.
            let is_table = |line: &&str| !line.starts_with("logkey: ") && !line.starts_with("warning: ");
            for line in shown.lines().filter(is_table) {
                let width = line.trim_end().chars().count();
                assert!(width <= columns.into(), "{command} at {columns}: {width}: {line}\n{shown}");
            }
            let broken = broken_ids(&shown, &whole, columns.into());
            assert!(broken.is_empty(), "{command} at {columns}: {broken:?}\n{shown}");
            assert!(!shown.contains("remedy_document"), "a field that people do not see: {command}: {shown}");
        }
    }
    // Without room for the columns, each row is a record.
    let titles = |shown: &str| shown.lines().filter(|line| line.starts_with("REGION ")).count();
    let [narrow, wide] = [run(60, "bulk items JOB").await, run(140, "bulk items JOB").await];
    assert_eq!((titles(&narrow), titles(&wide)), (2, 0), "{narrow}\n{wide}");
    let limits = run(80, "limits --admin ADMIN").await;
    assert!(
        limits.contains(" QUOTA ") && limits.contains("/s"),
        "a narrow terminal shows the quotas: {limits}"
    );
    let wide = run(60, "list -o wide").await;
    assert!(wide.lines().any(|line| line.chars().count() > 60), "everything is shown: {wide}");
    service.stop().await;
}

#[tokio::test]
async fn colours_appear_on_a_terminal_unless_no_color_is_set() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    let missing = "get /payments/none";
    assert!(cli.on_terminal(80, missing, false).await.contains("\u{1b}["));
    assert!(!cli.on_terminal(80, missing, true).await.contains("\u{1b}["));
    let piped = cli.run(&["get", "/payments/none"]).await;
    assert!(!piped.stderr.contains('\u{1b}'), "{}", piped.stderr);
    service.stop().await;
}

#[tokio::test]
async fn a_closed_pipe_ends_silently() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    cli.ok(&["associate", GROUP, "--key", &key("good")]).await;
    for command in [&["list", "-o", "json"][..], &["whoami"], &["events", "follow", "--after", "0"]] {
        let mut process = cli.command(env!("CARGO_BIN_EXE_logkey"));
        process.args(command).args(["--token-file", "token"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = process.spawn().unwrap();
        drop(process.stdout.take());
        let output = process.wait_with_output().await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{command:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn quiet_prints_only_errors_and_what_is_asked_for() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    assert_eq!(cli.ok(&["whoami", "--quiet"]).await, "");
    assert_eq!(cli.ok(&["whoami", "--quiet", "-o", "name"]).await, "111122223333\n");
    let missing = cli.run(&["get", "/payments/none", "--quiet"]).await;
    assert!(
        missing.stdout.is_empty() && missing.stderr.contains("LOG_GROUP_NOT_FOUND"),
        "{}",
        missing.stderr
    );
    service.stop().await;
}
