//! What people see: tables that fit, colours only where they are wanted, and pipes that end.

use std::process::Stdio;

use super::Cli;
use crate::{
    bulk::groups,
    harness::{GROUP, Plan, key},
};

/// Commands with every kind of table. JOB and RULE stand for ids.
const COMMANDS: [&str; 19] = [
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
];

#[tokio::test]
async fn no_line_is_wider_than_the_terminal() {
    let service =
        Plan::with_resources(|account| groups(account, "a-group-with-a-long-name", 2)).start().await;
    let cli = Cli::of(&service);
    cli.ok(&["associate", GROUP, "--key", &key("good")]).await;
    let pattern = "/payments/a-group-*";
    // Its items are blocked, with the statement to add.
    let job = cli.ok(&["bulk", "plan", "--pattern", pattern, "--key", &key("closed"), "-o", "name"]).await;
    let rule = cli.ok(&["rule", "create", "--pattern", pattern, "--key", &key("good"), "-o", "name"]).await;
    cli.ok(&["context", "set", "a-service-in-production", "--server", "https://logkey.in-production.test"])
        .await;
    cli.ok(&["context", "use", "a-service-in-production"]).await;
    let run = async |columns, command: &str| {
        let command = command.replace("JOB", job.trim()).replace("RULE", rule.trim());
        cli.on_terminal(columns, &command, true).await
    };
    for columns in [60, 80, 120] {
        for command in COMMANDS {
            let shown = run(columns, command).await;
            assert!(shown.lines().count() > 1, "{command}: {shown}");
            // The last line can be an error, which the terminal breaks.
            for line in shown.lines().filter(|line| !line.starts_with("logkey: ")) {
                let width = line.trim_end().chars().count();
                assert!(width <= columns.into(), "{command} at {columns}: {width}: {line}\n{shown}");
            }
        }
    }
    // Without room for the columns, each row is a record.
    let titles = |shown: &str| shown.lines().filter(|line| line.starts_with("REGION ")).count();
    let [narrow, wide] = [run(60, "bulk items JOB").await, run(120, "bulk items JOB").await];
    assert_eq!((titles(&narrow), titles(&wide)), (2, 0), "{narrow}\n{wide}");
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
