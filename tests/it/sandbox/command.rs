//! `logkey sandbox` as a process.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use super::*;
use crate::{child::KillOnDrop, process::send_signal};

fn sandbox_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logkey"));
    command.arg("sandbox").args(arguments).stdin(Stdio::null());
    command
}

#[tokio::test]
async fn the_sandbox_prints_its_endpoint_and_stops_on_sigterm() {
    let child = sandbox_command(&["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = KillOnDrop(child);
    let mut banner = BufReader::new(child.stdout.take().unwrap());
    let mut output = String::new();
    banner.read_line(&mut output).unwrap();
    assert!(output.contains("stand-in for AWS"), "{output}");
    banner.read_line(&mut output).unwrap();
    let endpoint = output.split_whitespace().last().unwrap().to_owned();
    let config = aws_sdk_cloudwatchlogs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(admin(ACCOUNT))
        .build();
    let logs = aws_sdk_cloudwatchlogs::Client::from_conf(config);
    let answer = logs.describe_log_groups().send().await.unwrap();
    assert!(!answer.log_groups().is_empty());

    send_signal(&child, "-TERM");
    banner.read_to_string(&mut output).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn every_error_in_a_seed_is_reported_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seed.toml");
    let seed = "surprise = 1\n[[accounts]]\naccount_id = \"1\"\nroles = [{ nam = \"R\" }]\n";
    std::fs::write(&file, seed).unwrap();
    let output =
        sandbox_command(&["--listen", "127.0.0.1:0", "--seed", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let output = String::from_utf8(output.stderr).unwrap();
    for part in ["seed.toml: surprise: unknown", "seed.toml: accounts[0].roles[0]: unknown field `nam`"] {
        assert!(output.contains(part), "{part} in {output}");
    }
}
