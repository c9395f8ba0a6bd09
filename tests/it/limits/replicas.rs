//! Three whole services, one Redis and one embedded AWS: the replicas share each quota.

use std::{
    net::TcpListener,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use logkey::sandbox::quota::Rate;
use tokio::task::JoinSet;

use crate::{
    child::KillOnDrop,
    harness::{ALL, GROUP, PAYMENTS, Plan, Service, key, reason, tenant},
    process::send_signal,
};

/// The quota of AWS in these tests, raised so that they finish sooner.
pub(super) const PER_SECOND: u32 = 20;

/// A real Redis server, which ends with the test.
pub(super) struct Redis {
    process: KillOnDrop,
    pub(super) port: u16,
}

impl Redis {
    pub(super) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts the server with additional settings, as `--name value`.
    pub(super) fn with(more: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = std::env::var_os("LOGKEY_REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let process = Command::new(program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .args(more)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server is needed (apt-get install redis-server): {error}"));
        Self { process: KillOnDrop(process), port }
    }

    pub(super) fn end(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }

    /// `-STOP` pauses the server, `-CONT` resumes it.
    pub(super) fn signal(&self, name: &str) {
        send_signal(&self.process, name);
    }
}

async fn ready(service: &Service) -> (u16, String) {
    let answer = reqwest::get(format!("http://{}/readyz", service.admin)).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

pub(super) async fn until_readiness_contains(service: &Service, text: &str) -> u16 {
    let start = Instant::now();
    loop {
        let (code, output) = ready(service).await;
        if output.contains(text) {
            return code;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{output}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Three services that share a Redis.
pub(super) async fn three(redis: &Redis, on_error: &str, limits: &str) -> [Service; 3] {
    let rate = Rate::new(f64::from(PER_SECOND), 5.0);
    let settings = format!(
        "[limits]\nbackend = \"redis://127.0.0.1:{}\"\non_backend_error = \"{on_error}\"\n\
         [limits.upstream]\nassociate_per_second = {PER_SECOND}\n",
        redis.port
    );
    let plan = Plan::default().aws(|aws| aws.quota("AssociateKmsKey", rate)).settings(&settings);
    let first = Box::pin(plan.tenants(&tenant("payments", PAYMENTS, limits)).start()).await;
    let (second, third) = (Box::pin(first.replica()).await, Box::pin(first.replica()).await);
    let all = [first, second, third];
    for service in &all {
        assert_eq!(until_readiness_contains(service, "shared by 3 replicas, redis is up").await, 200);
    }
    all
}

/// Records the longest delay, in milliseconds, before the runtime ran a task that was due.
pub(super) async fn measure_stall(max: Arc<AtomicU64>) {
    loop {
        let due = Instant::now() + Duration::from_millis(5);
        tokio::time::sleep_until(due.into()).await;
        max.fetch_max(u64::try_from(due.elapsed().as_millis()).unwrap(), Ordering::Relaxed);
    }
}

pub(super) async fn end(services: [Service; 3]) {
    for service in services {
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_share_one_aws_quota() {
    let redis = Redis::start();
    let services = three(&redis, "share", "{ per_second = 1000, burst = 1000, max_in_flight = 100 }").await;
    for service in &services {
        // Fetch the credentials before the measurement starts.
        service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    }
    let (mut calls, start) = (JoinSet::new(), Instant::now());
    for service in &services {
        let caller = Arc::new(service.caller("payments", ALL));
        for _ in 0..20 {
            let caller = Arc::clone(&caller);
            calls.spawn(async move { caller.associate(GROUP, &key("good")).await });
        }
    }
    for result in calls.join_all().await {
        result.unwrap();
    }
    let took = start.elapsed().as_secs_f64();
    assert!(took >= 2.8, "60 calls at {PER_SECOND} a second took {took} s");
    let journal = services[0].reached("AssociateKmsKey");
    // On a busy machine, calls with separate permits may reach AWS together; it throttles a few of them. Replicas
    // that each used the whole quota would have most of theirs throttled.
    let calls_reached = journal.len();
    assert!((63..=69).contains(&calls_reached), "each call once: {calls_reached}");
    let times: Vec<_> = journal.iter().map(|entry| entry.time).collect();
    for window in times.windows(26) {
        let separate = window[25].duration_since(window[0]);
        assert!(separate.as_secs_f64() >= 0.95, "26 calls within {separate:?}");
    }
    end(services).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_one_budget_in_all_replicas_also_without_redis() {
    let mut redis = Redis::start();
    let services = three(&redis, "share", "{ per_second = 1, burst = 30, max_in_flight = 100 }").await;
    let callers: Vec<_> = services.iter().map(|service| service.caller("payments", ALL)).collect();
    let spend = async || {
        let mut accepted = 0;
        for nth in 0..60 {
            match callers[nth % 3].who_am_i().await {
                Ok(_) => accepted += 1,
                Err(status) => assert_eq!(reason(&status), "TENANT_RATE_LIMITED"),
            }
        }
        accepted
    };
    let accepted = spend().await;
    assert!((30..=40).contains(&accepted), "{accepted} of a burst of 30");
    redis.end();
    for service in &services {
        assert_eq!(until_readiness_contains(service, "redis is down: each of 3 replicas").await, 200);
    }
    let start = Instant::now();
    let accepted = spend().await;
    assert!(accepted <= 20, "{accepted} more after Redis ended: there is no second burst");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    end(services).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_refuse_without_redis_say_so_in_readyz() {
    let mut redis = Redis::start();
    let services = three(&redis, "refuse", "{ per_second = 100, burst = 100, max_in_flight = 100 }").await;
    assert_eq!(until_readiness_contains(&services[0], "redis is up").await, 200);
    let caller = services[0].caller("payments", ALL);
    redis.end();
    assert_eq!(until_readiness_contains(&services[0], "redis is down: calls are rejected").await, 200);
    let status = caller.who_am_i().await.unwrap_err();
    assert_eq!(reason(&status), "TENANT_RATE_LIMITED");
    end(services).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_redis_user_and_its_password_file_are_used() {
    let user = ["--user", "logkey", "on", ">s3cret", "~logkey:*", "+@all"];
    let redis = Redis::with(&[&["--user", "default", "off"], &user[..]].concat());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    let settings = format!(
        "[limits]\nbackend = \"redis://logkey@127.0.0.1:{}\"\nbackend_password_file = \"{}\"\n",
        redis.port,
        file.display()
    );
    let service = Box::pin(Plan::default().settings(&settings).start()).await;
    assert_eq!(until_readiness_contains(&service, "redis is up").await, 200);
    service.caller("payments", ALL).who_am_i().await.unwrap();
    service.stop().await;
}
