//! Several processes with one PostgreSQL: they share one audit log, one of them sequences it, and no event is
//! lost when a process or the server fails.

mod archiving;
mod backup;
mod faults;
mod forgery;
mod idle;
mod key_rotation;
mod pending;
mod reading;
mod replicas;
mod requests;
mod secured;
mod upgrade;
mod writers;

use std::time::Duration;

use logkey::ports::EventReader;
use sqlx::Row as _;

use crate::{
    addresses::free_addresses,
    child::KillOnDrop,
    harness::{Postgres, Service},
    process::{logkey, send_signal, serving},
};

/// The maximum number of polls of a condition, 50 ms apart.
const MAX_POLLS: u32 = 2_400;

/// Polls until `done` returns true.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..MAX_POLLS {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("timed out waiting for {what}");
}

/// The application name of the leader's session, and the id of its server process.
async fn leader(postgres: &Postgres) -> Option<(String, i32)> {
    let query = "SELECT a.application_name, a.pid FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) \
                 WHERE l.locktype = 'advisory' AND l.granted AND a.query NOT LIKE '%request%' LIMIT 1";
    let mut session = postgres.session("logkey").await;
    let found = sqlx::query(query).fetch_optional(&mut session).await.unwrap();
    found.map(|row| (row.get(0), row.get(1)))
}

/// Ends the leader's session until the replica with the application name `second` leads.
async fn make_second_leader(postgres: &Postgres) {
    until("the second replica to lead", async || {
        let Some((name, pid)) = leader(postgres).await else { return false };
        if name == "logkey" {
            let mut session = postgres.session("logkey").await;
            sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut session).await.unwrap();
        }
        name == "second"
    })
    .await;
}

/// Runs a command with the service's settings and returns its output.
async fn run(service: &Service, command: &[&str]) -> String {
    let config = service.settings().display().to_string();
    let arguments: Vec<String> =
        command.iter().map(|&part| part.to_owned()).chain(["--config".to_owned(), config]).collect();
    let run = move || logkey(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).output().unwrap();
    let result = tokio::task::spawn_blocking(run).await.unwrap();
    let output = String::from_utf8_lossy(&[result.stdout, result.stderr].concat()).into_owned();
    assert!(result.status.success(), "{command:?}: {output}");
    output
}

/// A replica in a separate process, with the settings and the AWS of a service in this process.
struct Replica {
    child: KillOnDrop,
    grpc: std::net::SocketAddr,
    admin: std::net::SocketAddr,
}

impl Replica {
    /// Starts a replica with the application name `second`.
    async fn spawn(service: &Service, postgres: &Postgres) -> Self {
        Self::spawn_on(service, &format!("{}&application_name=second", postgres.url())).await
    }

    /// Starts a process with the settings of the service on the database with this URL.
    async fn spawn_on(service: &Service, url: &str) -> Self {
        let [grpc, admin] = free_addresses().unwrap();
        let child = serving(&service.settings())
            .env("LOGKEY__SERVER__LISTEN", grpc.to_string())
            .env("LOGKEY__SERVER__ADMIN_LISTEN", admin.to_string())
            .env("LOGKEY__STORE__URL", url)
            .spawn()
            .unwrap();
        let replica = Self { child: KillOnDrop(child), grpc, admin };
        until("a replica's readiness", async || readiness(replica.admin).await == 200).await;
        replica
    }

    /// Makes the replica reload its settings and keys.
    fn reload(&self) {
        send_signal(&self.child, "-HUP");
    }

    /// Stops gracefully.
    fn stop(mut self) {
        send_signal(&self.child, "-TERM");
        assert!(self.child.wait().unwrap().success());
    }

    /// `kill -9`.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The status of `/readyz`, or 0 without a response.
async fn readiness(admin: std::net::SocketAddr) -> u16 {
    let answer = reqwest::get(format!("http://{admin}/readyz")).await;
    answer.map_or(0, |answer| answer.status().as_u16())
}

/// Waits until a checkpoint covers the whole log, and asserts that `audit verify` succeeds.
async fn assert_intact(service: &Service, postgres: &Postgres) {
    let store = logkey::store::Config { url: postgres.url() };
    let open = logkey::store::open_reader(&store).await.unwrap();
    until("a checkpoint over the whole log", async || {
        let signed = open.tree.checkpoint().await.unwrap().map_or(0, |checkpoint| checkpoint.size);
        signed == newest(&*open.log).await
    })
    .await;
    let config = service.settings();
    let verify = move || logkey(&["audit", "verify", "--config", config.to_str().unwrap()]).output().unwrap();
    let result = tokio::task::spawn_blocking(verify).await.unwrap();
    let output = String::from_utf8_lossy(&[result.stdout, result.stderr].concat()).into_owned();
    assert!(result.status.success() && output.contains("intact: "), "{output}");
}

async fn newest(log: &dyn EventReader) -> u64 {
    log.list(&logkey::ports::EventFilter::default(), None, 1)
        .await
        .unwrap()
        .first()
        .map_or(0, |event| event.seq)
}
