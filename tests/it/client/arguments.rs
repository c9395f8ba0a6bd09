//! Arguments that are refused before a call.

use super::Cli;

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
