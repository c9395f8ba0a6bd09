//! Several processes over one PostgreSQL: one audit log, one that sequences, and nothing lost when one of
//! them, or the server, goes.

mod faults;
mod idle;
mod key_rotation;
mod pending;
mod reading;
mod replicas;
mod requests;
mod secured;
mod writers;

use std::{
    process::{Child, Command},
    time::Duration,
};

use logkey::ports::EventReader;
use sqlx::Row as _;

use crate::{
    harness::{Postgres, Service},
    process::{free, logkey, serving},
};

/// How often something is looked at before it counts as failed, 50 ms apart.
const LOOKS: u32 = 2_400;

/// Waits until `done`, which is looked at again and again.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..LOOKS {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} does not come");
}

/// Which session leads, by the name of its application, and the process of the server that serves it.
async fn leader(postgres: &Postgres) -> Option<(String, i32)> {
    let query = "SELECT a.application_name, a.pid FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) \
                 WHERE l.locktype = 'advisory' AND l.granted AND a.query NOT LIKE '%request%' LIMIT 1";
    let mut session = postgres.session("logkey").await;
    let found = sqlx::query(query).fetch_optional(&mut session).await.unwrap();
    found.map(|row| (row.get(0), row.get(1)))
}

/// Takes the lead from the first one until the replica that is known as `second` has it.
async fn second_leads(postgres: &Postgres) {
    until("the second one's turn", async || {
        let Some((name, pid)) = leader(postgres).await else { return false };
        if name == "logkey" {
            let mut session = postgres.session("logkey").await;
            sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut session).await.unwrap();
        }
        name == "second"
    })
    .await;
}

/// Runs the command with the service's settings, and gives back what it says.
async fn run(service: &Service, verb: &[&str]) -> String {
    let config = service.settings().display().to_string();
    let arguments: Vec<String> =
        verb.iter().map(|&part| part.to_owned()).chain(["--config".to_owned(), config]).collect();
    let run = move || logkey(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).output().unwrap();
    let done = tokio::task::spawn_blocking(run).await.unwrap();
    let output = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{verb:?}: {output}");
    output
}

/// A replica as a process of its own, with the settings and the AWS of a service in this one.
struct Replica {
    child: Child,
    grpc: std::net::SocketAddr,
    admin: std::net::SocketAddr,
}

impl Replica {
    /// Known to the server as `second`.
    async fn spawn(service: &Service, postgres: &Postgres) -> Self {
        let [grpc, admin] = free();
        let url = format!("{}&application_name=second", postgres.url());
        let child = serving(&service.settings())
            .env("LOGKEY__SERVER__LISTEN", grpc.to_string())
            .env("LOGKEY__SERVER__ADMIN_LISTEN", admin.to_string())
            .env("LOGKEY__STORE__URL", url)
            .spawn()
            .unwrap();
        let replica = Self { child, grpc, admin };
        until("a replica's readiness", async || ready(replica.admin).await == 200).await;
        replica
    }

    /// Has it take over changed settings and keys.
    fn hang_up(&self) {
        let sent = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// `kill -9`.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What `/readyz` says; 0 where nothing does.
async fn ready(admin: std::net::SocketAddr) -> u16 {
    let answer = reqwest::get(format!("http://{admin}/readyz")).await;
    answer.map_or(0, |answer| answer.status().as_u16())
}

/// Waits until everything that is in the log is signed, and has the command line say that it is whole.
async fn whole(service: &Service, postgres: &Postgres) {
    let store = logkey::store::Config { url: postgres.url() };
    let open = logkey::store::open_reader(&store).await.unwrap();
    until("a checkpoint over all", async || {
        let signed = open.tree.checkpoint().await.unwrap().map_or(0, |checkpoint| checkpoint.size);
        signed == newest(&*open.log).await
    })
    .await;
    let config = service.settings();
    let verify = move || logkey(&["audit", "verify", "--config", config.to_str().unwrap()]).output().unwrap();
    let done = tokio::task::spawn_blocking(verify).await.unwrap();
    let output = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success() && output.contains("whole: "), "{output}");
}

async fn newest(log: &dyn EventReader) -> u64 {
    log.list(&logkey::ports::EventFilter::default(), None, 1).await.unwrap().first().map_or(0, |it| it.seq)
}
