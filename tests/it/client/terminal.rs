//! What people see: tables that fit, colours only where they are wanted, and pipes that end.

use std::process::Stdio;

use super::Cli;
use crate::harness::{GROUP, Plan, key};

/// Commands with every kind of table.
const COMMANDS: [&str; 9] = [
    "whoami",
    "get /payments/api",
    "list",
    "check-key /payments/api --key closed",
    "usage good",
    "access",
    "events list",
    "events list --action AssociateKmsKey --outcome OK",
    "context list",
];

#[tokio::test]
async fn no_line_is_wider_than_the_terminal() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    cli.ok(&["associate", GROUP, "--key", &key("good")]).await;
    for columns in [60, 80, 120] {
        for command in COMMANDS {
            let shown = cli.on_terminal(columns, command, true).await;
            assert!(shown.lines().count() > 1 || command.starts_with("context"), "{command}: {shown}");
            // The last line can be an error, which the terminal breaks.
            for line in shown.lines().filter(|line| !line.starts_with("logkey: ")) {
                let width = line.trim_end().chars().count();
                assert!(width <= columns.into(), "{command} at {columns}: {width}: {line}\n{shown}");
            }
        }
    }
    let wide = cli.on_terminal(60, "list -o wide", true).await;
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
