//! The commands that call the service: the real binary against a service over the embedded AWS.

mod arguments;
mod changes;
mod connection;
mod documents;
mod fleet;
mod report;
mod schema;
mod terminal;

use std::{ffi::OsString, path::Path, process::Output};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    bulk::BULK,
    harness::{Plan, Service},
};

/// The scopes of every command.
const SCOPES: &str =
    "logkey:read logkey:associate logkey:disassociate logkey:query-results logkey:bulk logkey:audit";

/// The commands of one caller, with an own home directory.
pub(crate) struct Cli {
    home: TempDir,
    server: String,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Cli {
    /// A caller of the tenant `payments` with these scopes.
    pub(crate) fn new(service: &Service, scopes: &str) -> Self {
        Self::with(format!("http://{}", service.address), &service.issuer.token("payments", scopes))
    }

    /// A caller of the service at this URL, with this token.
    fn with(server: String, token: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), token).unwrap();
        Self { home, server }
    }

    /// A caller who can use every command.
    fn of(service: &Service) -> Self {
        assert!(BULK.split(' ').all(|scope| SCOPES.contains(scope)));
        Self::new(service, SCOPES)
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    /// A program with only what a command needs in its environment.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
        command.env("HOME", self.home()).env("LOGKEY_SERVER", &self.server).env("TERM", "xterm-256color");
        command.current_dir(self.home()).kill_on_drop(true).stdin(std::process::Stdio::null());
        command
    }

    /// Runs a command with the token.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        let token: OsString = self.home().join("token").into();
        let mut command = self.command(env!("CARGO_BIN_EXE_logkey"));
        Ended::new(command.args(arguments).arg("--token-file").arg(token).output().await.unwrap())
    }

    /// Runs a command that succeeds, and returns what it printed.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// The document of a command that succeeds.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["-o", "json"]].concat()).await).unwrap()
    }

    /// Runs a shell command on a terminal with so many columns.
    async fn on_terminal(&self, columns: u16, arguments: &str, no_color: bool) -> String {
        let run = format!("stty cols {columns} rows 24; {} {arguments}", env!("CARGO_BIN_EXE_logkey"));
        let mut command = self.command("script");
        command.env("LOGKEY_TOKEN", std::fs::read_to_string(self.home().join("token")).unwrap());
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let output = command.args(["--quiet", "--return", "--command", &run, "/dev/null"]).output().await;
        String::from_utf8(output.unwrap().stdout).unwrap()
    }
}

impl Ended {
    fn new(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

#[tokio::test]
async fn each_failure_has_its_exit_code() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    assert_eq!(cli.run(&["whoami"]).await.code, 0);

    let refused = cli.run(&["check-key", "/payments/api", "--key", "closed"]).await;
    assert_eq!(refused.code, 1, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stdout.contains("WOULD_FAIL"), "{}", refused.stdout);
    let mismatch = cli.run(&["associate", "/payments/api", "--key", "good", "--expect", "next"]).await;
    assert_eq!(mismatch.code, 1, "{}", mismatch.stderr);

    for usage in [&["get"][..], &["list", "--server", "host:1"], &["whoami", "--context", "none"]] {
        let ended = cli.run(usage).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{usage:?}: {}", ended.stderr);
    }

    let reader = Cli::new(&service, "logkey:read");
    let denied = reader.run(&["associate", "/payments/api", "--key", "good"]).await;
    assert_eq!(denied.code, 3, "{}", denied.stderr);
    assert!(denied.stderr.contains("PERMISSION_DENIED (SCOPE_MISSING): "), "{}", denied.stderr);
    assert!(denied.stderr.contains("Request id: "), "{}", denied.stderr);
    std::fs::write(reader.home().join("token"), "not.a.token").unwrap();
    assert_eq!(reader.run(&["whoami"]).await.code, 3);

    let missing = cli.run(&["get", "/payments/none"]).await;
    assert_eq!(missing.code, 4, "{}", missing.stderr);
    assert!(missing.stderr.contains("NOT_FOUND (LOG_GROUP_NOT_FOUND)"), "{}", missing.stderr);
    assert_eq!(cli.run(&["events", "show", "no-such-request"]).await.code, 4);

    let later = cli.run(&["whoami", "--server", "http://127.0.0.1:1"]).await;
    assert_eq!(later.code, 5, "{}", later.stderr);
    assert!(later.stderr.contains("cannot reach http://127.0.0.1:1"), "{}", later.stderr);
    service.stop().await;
}

#[tokio::test]
async fn a_context_names_the_options_of_a_connection() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    let own = |arguments: &[&str]| {
        let mut command = cli.command(env!("CARGO_BIN_EXE_logkey"));
        command.env_remove("LOGKEY_SERVER").args(arguments);
        async move { Ended::new(command.output().await.unwrap()) }
    };
    let none = own(&["whoami"]).await;
    assert_eq!(none.code, 2);
    assert!(
        none.stderr.contains("--server") && none.stderr.contains("logkey context use"),
        "{}",
        none.stderr
    );

    let set = ["context", "set", "here", "--server", &cli.server, "--token-command", "cat token"];
    assert_eq!(own(&set).await.code, 0);
    assert_eq!(own(&["context", "use", "there"]).await.code, 2, "there is no such context");
    assert_eq!(own(&["context", "use", "here"]).await.code, 0);
    let caller = own(&["whoami", "-o", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&caller.stdout).unwrap()["tenantId"], "payments");
    assert_eq!(own(&["context", "set", "here", "--token-file", "token"]).await.code, 0);
    let shown = own(&["context", "show", "-o", "json"]).await.stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let shown = &shown["contexts"][0];
    let file = cli.home().join("token").canonicalize().unwrap();
    assert_eq!(shown["tokenFile"], file.to_str().unwrap(), "a context is used from any folder");
    assert_eq!(shown["tokenCommand"], Value::Null);
    assert_eq!(own(&["context", "list", "-o", "name"]).await.stdout, "here\n");

    let file = cli.home().join(".config/logkey/config.toml");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "only its owner may read it");
    service.stop().await;
}
