//! The service as a process: starts it, polls it, and ends it.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    net::SocketAddr,
    process::{Command, ExitStatus, Stdio},
    sync::atomic::Ordering,
    time::Duration,
};

use serde_json::Value;
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::{child::KillOnDrop, event_text, shared, world::TestEnv};

/// The maximum number of polls of a condition, 10 ms apart.
const MAX_POLLS: u32 = 6_000;
/// A running service, killed on drop.
pub(crate) struct Process {
    child: KillOnDrop,
    /// A time just before the start, in microseconds since 1970.
    started: i64,
}

/// A command that runs the binary with these arguments.
pub(crate) fn logkey(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logkey"));
    command.args(arguments).stdin(Stdio::null());
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "AKIASANDBOXHUB")
        .env("AWS_SECRET_ACCESS_KEY", "anything");
    command
}

/// Polls until `done` returns true.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..MAX_POLLS {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("timed out waiting for {what}");
}

// === impl Process ===

impl Process {
    /// Starts the service; its log goes to the `stderr` file of the test environment.
    pub(crate) fn spawn(env: &TestEnv, more: &[(&str, String)]) -> Self {
        env.starts.fetch_add(1, Ordering::Relaxed);
        let log = OpenOptions::new().create(true).append(true).open(env.path("stderr")).unwrap();
        let started = jiff::Timestamp::now().as_microsecond();
        let mut command = logkey(&["serve", "--config", env.config().to_str().unwrap()]);
        let child = command.envs(more.iter().cloned()).stderr(log).spawn().unwrap();
        Self { child: KillOnDrop(child), started }
    }

    /// Waits until the service is ready and has reconciled every intent that an earlier process left open.
    /// Returns the event up to which all intents have ended.
    pub(crate) async fn reconciled(&mut self, env: &TestEnv, floor: i64) -> i64 {
        self.ready(env).await;
        let mut last = floor;
        until("the reconciliation of open intents", async || {
            let (open, newest) = open_intents(env, floor, self.started).await;
            last = newest;
            open == 0
        })
        .await;
        last
    }

    pub(crate) async fn ready(&mut self, env: &TestEnv) {
        self.ready_at(env, env.admin).await;
    }

    /// Waits for readiness at a different admin address.
    pub(crate) async fn ready_at(&mut self, env: &TestEnv, admin: SocketAddr) {
        let url = format!("http://{admin}/readyz");
        until("readiness", async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                let output = std::fs::read_to_string(env.path("stderr")).unwrap();
                let last: Vec<&str> = output.lines().rev().take(8).collect();
                panic!("the service ended by itself ({status}): {last:#?}");
            }
            reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// Waits until the process ends by itself.
    pub(crate) async fn finished(mut self) -> ExitStatus {
        tokio::task::spawn_blocking(move || self.child.wait().unwrap()).await.unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends `SIGTERM` and waits for the end.
    pub(crate) async fn terminate(self) -> ExitStatus {
        self.signal("-TERM");
        self.finished().await
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

/// The number of open intents, and the newest event before that time. It closes its connection before it
/// returns, so that a killed service was the only process with the file open.
async fn open_intents(env: &TestEnv, floor: i64, before: i64) -> (i64, i64) {
    if env.uses_postgres() {
        return shared::open_intents(env, before).await;
    }
    let file = env.store().join("logkey.db");
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let Ok(mut connection) = options.connect().await else { return (1, floor) };
    let later = event_text::after(&mut connection, floor).await;
    connection.close().await.unwrap();
    later.map_or((1, floor), |later| count_open(&later, floor, before))
}

/// The number of open intents before a time among these events, and the newest event before that time.
fn count_open(later: &[(i64, String)], floor: i64, before: i64) -> (i64, i64) {
    let (mut open, mut newest) = (BTreeSet::new(), floor);
    for (seq, text) in later {
        let event: Value = serde_json::from_str(text).unwrap();
        let logkey = &event["unmapped"]["logkey"];
        let kind = event["metadata"]["event_code"].as_str().unwrap();
        if let Some(closes) = logkey["closes"].as_str()
            && (kind == "settled" || event["status_code"] != "OUTCOME_UNKNOWN")
        {
            open.remove(closes);
        }
        if logkey["time_us"].as_i64().unwrap() < before {
            newest = *seq;
            if kind == "intent" {
                open.insert(event["metadata"]["uid"].as_str().unwrap().to_owned());
            }
        }
    }
    (i64::try_from(open.len()).unwrap(), newest)
}
