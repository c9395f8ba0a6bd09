//! The service as a process: started, looked at, ended in one way or another.

use std::{
    fs::OpenOptions,
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::Ordering,
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, Row as _, sqlite::SqliteConnectOptions};

use crate::{shared, world::TestEnv};

/// How often something is looked at before it counts as failed, 10 ms apart.
const LOOKS: u32 = 6_000;
/// Intents before this moment whose end nobody knows, after the event up to which all are settled.
const OPEN: &str = "\
WITH said AS MATERIALIZED (
    SELECT seq, body ->> '$.metadata.event_code' AS kind, body ->> '$.metadata.uid' AS id,
           body ->> '$.unmapped.logkey.closes' AS closes, body ->> '$.status_code' AS status,
           body ->> '$.unmapped.logkey.time_us' AS time
    FROM event WHERE seq > $1),
closed AS (SELECT closes FROM said
    WHERE closes IS NOT NULL AND (kind = 'settled' OR status IS NOT 'OUTCOME_UNKNOWN'))
SELECT count(*), (SELECT max(seq) FROM said WHERE time < $2) FROM said
WHERE kind = 'intent' AND time < $2 AND id NOT IN closed";

/// A running service; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    /// In microseconds since 1970, from before it was started.
    started: i64,
}

/// The binary, with these arguments.
pub(crate) fn logkey(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logkey"));
    command.args(arguments).stdin(Stdio::null());
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "AKIASANDBOXHUB")
        .env("AWS_SECRET_ACCESS_KEY", "anything");
    command
}

/// Waits until `done`, which is looked at again and again.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..LOOKS {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} does not come");
}

// === impl Process ===

impl Process {
    /// Starts the service; what it logs goes to a file of the world's.
    pub(crate) fn spawn(env: &TestEnv, more: &[(&str, String)]) -> Self {
        env.lives.fetch_add(1, Ordering::Relaxed);
        let log = OpenOptions::new().create(true).append(true).open(env.path("stderr")).unwrap();
        let started = jiff::Timestamp::now().as_microsecond();
        let mut command = logkey(&["serve", "--config", env.config().to_str().unwrap()]);
        let child = command.envs(more.iter().cloned()).stderr(log).spawn().unwrap();
        Self { child, started }
    }

    /// Waits until it is ready, and every change that an earlier process left open is settled. Tells up
    /// to which event that is so.
    pub(crate) async fn reconciled(&mut self, env: &TestEnv, floor: i64) -> i64 {
        self.ready(env).await;
        let mut last = floor;
        until("the end of what was open", async || {
            let (open, newest) = open(env, floor, self.started).await;
            last = newest;
            open == 0
        })
        .await;
        last
    }

    pub(crate) async fn ready(&mut self, env: &TestEnv) {
        self.ready_at(env, env.admin).await;
    }

    /// The same, where it was told to listen elsewhere.
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

    /// Waits until it has ended by itself.
    pub(crate) async fn finished(mut self) -> ExitStatus {
        tokio::task::spawn_blocking(move || self.child.wait().unwrap()).await.unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(self) -> ExitStatus {
        self.signal("-TERM");
        self.finished().await
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How many intents are open, and the newest event before that moment. The connection is closed before
/// this returns, so that a service that is killed was alone with its file.
async fn open(env: &TestEnv, floor: i64, before: i64) -> (i64, i64) {
    if env.is_over_a_server() {
        return shared::open(env, before).await;
    }
    let file = env.store().join("logkey.db");
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let Ok(mut connection) = options.connect().await else { return (1, floor) };
    let row = sqlx::query(OPEN).bind(floor).bind(before).fetch_one(&mut connection).await;
    let found = row.map(|row| (row.get(0), row.get::<Option<i64>, _>(1).unwrap_or(floor)));
    connection.close().await.unwrap();
    found.unwrap_or((1, floor))
}
