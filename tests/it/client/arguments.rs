//! Arguments that are refused before a call.

use super::{Cli, Ended};
use crate::harness::Plan;

/// Commands with a misspelled value, and the value that is meant.
const MISSPELLED: [(&str, &str); 16] = [
    ("events list --action AsociateKmsKey", "AssociateKmsKey"),
    ("events list --outcome NOT_ALOWED", "NOT_ALLOWED"),
    ("events follow --action RotateKy", "RotateKey"),
    ("events follow --outcome OTHER_KY", "OTHER_KEY"),
    ("bulk items JOB --reason KEY_DISABLED,KEY_NOT_USABL", "KEY_NOT_USABLE"),
    ("bulk items JOB --state faild", "failed"),
    ("bulk list --state plannd", "planned"),
    ("bulk plan --current othr", "other"),
    ("rule list --state activ", "active"),
    ("rule create --mode enforc", "enforce"),
    ("rule update RULE --state pausd", "paused"),
    ("report --fail-on non-complient", "non-compliant"),
    ("report -o htm", "html"),
    ("list -o jsn", "json"),
    ("audit list --action AsociateKmsKey", "AssociateKmsKey"),
    ("completion bsh", "bash"),
];

#[tokio::test]
async fn a_misspelled_value_is_refused_before_a_call_with_the_one_that_is_meant() {
    // Nothing listens there: a call would end with the exit code 5.
    let cli = Cli::with("http://127.0.0.1:1".to_owned(), "token");
    for (command, meant) in MISSPELLED {
        let mut process = cli.command(env!("CARGO_BIN_EXE_logkey"));
        let output = process.args(command.split(' ')).env("LOGKEY_TOKEN", "token").output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}: {text}");
        assert!(text.contains("[possible values: "), "{command}: {text}");
        assert!(text.contains(&format!("a similar value exists: '{meant}'")), "{command}: {text}");
    }
}

#[tokio::test]
async fn names_of_the_service_are_accepted() {
    let cli = Cli::with("http://127.0.0.1:1".to_owned(), "token");
    for (option, name) in [("--action", "AssociateKmsKey"), ("--outcome", "OK"), ("--outcome", "RESOLVED")] {
        let ended = cli.run(&["events", "list", option, name]).await;
        assert_eq!(ended.code, 5, "{option} {name}: {}", ended.stderr);
    }
}

/// Runs a command with these variables.
async fn with_variables(cli: &Cli, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let mut command = cli.command(env!("CARGO_BIN_EXE_logkey"));
    Ended::new(command.envs(variables.iter().copied()).args(arguments).output().await.unwrap())
}

#[tokio::test]
async fn an_invalid_token_is_refused_and_not_printed() {
    let cli = Cli::with("http://127.0.0.1:1".to_owned(), "token");
    for (token, said) in [
        ("Bearer eyJhbGciOi.secret", "begins with \"Bearer\""),
        ("eyJhbGciOi.secret and more", "no spaces"),
        ("eyJhbGciOi.s\u{e9}cret", "only ASCII"),
    ] {
        let ended = with_variables(&cli, &[("LOGKEY_TOKEN", token)], &["whoami"]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
        assert!(ended.stderr.contains("LOGKEY_TOKEN") && ended.stderr.contains(said), "{}", ended.stderr);
        assert!(!ended.stderr.contains("eyJhbGciOi"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn an_empty_variable_is_as_good_as_none() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    let empty = [("LOGKEY_TOKEN", ""), ("LOGKEY_CONTEXT", ""), ("LOGKEY_CONTEXTS", "")];
    let called = with_variables(&cli, &empty, &["whoami", "--token-file", "token", "-o", "name"]).await;
    assert_eq!((called.code, called.stdout.as_str()), (0, "111122223333\n"), "{}", called.stderr);
    let none = with_variables(&cli, &empty, &["whoami"]).await;
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("no token is given"), "{}", none.stderr);
    let nowhere = with_variables(&cli, &[("LOGKEY_SERVER", "")], &["whoami", "--token-file", "token"]).await;
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.stderr.contains("no service is named"), "{}", nowhere.stderr);
    service.stop().await;
}
