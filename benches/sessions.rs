//! How often the service assumes roles, and whether calls wait for it (row 7 of the goals). It runs the real
//! session cache under virtual time with a model of STS: `cargo bench --bench sessions`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench prints figures, and panics if it cannot continue"
)]

use std::{process::ExitCode, sync::Arc, time::Duration};

use logkey::{aws::SessionBench, domain::tenant::AccountGrant};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

const ROLES: usize = 1_000;
const LIFETIME: Duration = Duration::from_hours(1);
const WINDOW: Duration = Duration::from_hours(2);
/// How long an `AssumeRole` call takes on average; it varies by half.
const ASSUME: Duration = Duration::from_millis(120);
/// The time between two calls of one role.
const BETWEEN: Duration = Duration::from_secs(10);
/// How long a call with a session takes, in seconds.
const CALL: std::ops::Range<f64> = 0.015..0.030;
/// The maximum ratio that passes, and the target.
const CALLS_GOAL: (f64, f64) = (1.05, 1.01);
const WAIT_GOAL: (f64, f64) = (1.10, 1.03);

fn main() -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let calls = runtime.block_on(calls());
    let (steady, rolling) = runtime.block_on(waits());
    let wait = rolling.as_secs_f64() / steady.as_secs_f64();
    println!("AssumeRole calls, {ROLES} roles, 2 h: {calls:.4} of the ideal; goal {CALLS_GOAL:?}");
    println!(
        "p99 while a tenth roll over: {:.3} ms against {:.3} ms steady, {wait:.3}; goal {WAIT_GOAL:?}",
        rolling.as_secs_f64() * 1e3,
        steady.as_secs_f64() * 1e3,
    );
    if calls <= CALLS_GOAL.0 && wait <= WAIT_GOAL.0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn bench() -> Arc<SessionBench> {
    let grant = |n: usize| AccountGrant {
        account: format!("{:012}", 100_000_000_000 + n).parse().unwrap(),
        role: format!("arn:aws:iam::{:012}:role/LogKey", 100_000_000_000 + n).parse().unwrap(),
        external_id: "an-external-id".parse().unwrap(),
        regions: ["eu-west-1".parse().unwrap()].into(),
        log_groups: vec!["/app/*".parse().unwrap()],
        kms_keys: vec!["*".parse().unwrap()],
        query_results: false,
        verify_query_results: false,
    };
    Arc::new(SessionBench::new((0..ROLES).map(grant).collect(), LIFETIME, ASSUME))
}

/// Every role is in use all the time, and starts at a different moment of the first hour. Returns the number
/// of STS calls in the next two hours, relative to two for each role.
async fn calls() -> f64 {
    let (bench, begin) = (bench(), Instant::now());
    let mut roles = JoinSet::new();
    for role in 0..ROLES {
        let bench = Arc::clone(&bench);
        let first = begin + LIFETIME.mul_f64(role as f64 / ROLES as f64);
        roles.spawn(async move {
            sleep_until(first).await;
            while begin.elapsed() < LIFETIME + WINDOW {
                bench.get(role).await.unwrap();
                sleep(BETWEEN).await;
            }
        });
    }
    sleep_until(begin + LIFETIME).await;
    let before = bench.assume_calls();
    roles.join_all().await;
    let ideal = ROLES as f64 * WINDOW.as_secs_f64() / LIFETIME.as_secs_f64();
    (bench.assume_calls() - before) as f64 / ideal
}

/// The p99 of calls including their session: in a minute in which no session expires, and in one in which the
/// sessions of a tenth of the roles do.
async fn waits() -> (Duration, Duration) {
    let (bench, begin) = (bench(), Instant::now());
    // A tenth of the sessions start a quarter of an hour before the others.
    for role in 0..ROLES / 10 {
        bench.get(role).await.unwrap();
    }
    sleep(Duration::from_mins(15)).await;
    for role in ROLES / 10..ROLES {
        bench.get(role).await.unwrap();
    }
    // All roles stay in use, so that the cache keeps their sessions.
    let mut random = StdRng::seed_from_u64(7);
    let steady = minute(&bench, &mut random).await;
    let before = bench.assume_calls();
    sleep_until(begin + LIFETIME - Duration::from_secs(50)).await;
    let rolling = minute(&bench, &mut random).await;
    assert!(bench.assume_calls() - before >= ROLES / 10, "no session was renewed");
    (p99(steady), p99(rolling))
}

/// Every role makes one call each second for a minute.
async fn minute(bench: &Arc<SessionBench>, random: &mut StdRng) -> Vec<Duration> {
    let mut calls = JoinSet::new();
    let begin = Instant::now();
    for role in 0..ROLES {
        let offset = random.random_range(0.0..1.0);
        let takes: Vec<f64> = (0..60).map(|_| random.random_range(CALL)).collect();
        let bench = Arc::clone(bench);
        calls.spawn(async move {
            let mut waits = Vec::new();
            for (second, takes) in takes.into_iter().enumerate() {
                sleep_until(begin + Duration::from_secs_f64(second as f64 + offset)).await;
                let start = Instant::now();
                bench.get(role).await.unwrap();
                sleep(Duration::from_secs_f64(takes)).await;
                waits.push(start.elapsed());
            }
            waits
        });
    }
    calls.join_all().await.concat()
}

fn p99(mut waits: Vec<Duration>) -> Duration {
    waits.sort_unstable();
    waits.get((waits.len() as f64 * 0.99) as usize).copied().unwrap_or_default()
}
