//! `cargo bench --bench pace`: how well the upstream limiter stays within AWS's quota (rows 8 and 9 of the
//! goals). It runs the real limiter under virtual time with a model of AWS's token bucket. It runs the same
//! cases with boto3 and its retry modes, in real time, with the same model behind HTTP
//! (`benches/pace/retry_modes.py`, which needs python3, and `PyPI` once). `-- --boto3 500` makes as many
//! calls with boto3, `-- --boto3 0` makes none.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and panics if it cannot continue"
)]

use std::{env, path::Path, process::Command, sync::Arc, time::Duration};

use logkey::{
    domain::association::Location,
    limit::{AwsQuota, LocalUpstreamLimiter, QueueBounds},
    ports::limit::{Operation, QuotaKey, UpstreamLimiter as _, UpstreamOutcome},
};
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

const QUOTA: f64 = 5.0;
const CALLS: usize = 500;
const WORKERS: usize = 8;
/// The number of locations of a bulk job, and of log groups in each.
const LOCATIONS: u32 = 200;
const GROUPS: u32 = 200;
/// The default number of calls in each case of boto3, which runs in real time.
const BOTO3_CALLS: &str = "100";

/// A case: how AWS behaves.
#[derive(Clone, Copy)]
struct World {
    name: &'static str,
    burst: f64,
    latency: (f64, f64),
    /// The share of the latency before AWS takes a token from the bucket.
    on_the_way: f64,
    /// Calls per second of other clients.
    others: f64,
    at_random: bool,
    /// The best rate that a caller can reach, in calls per second.
    best: f64,
}

struct Bucket {
    depth: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn take(&mut self) -> bool {
        let now = Instant::now();
        let earned = (now - self.filled).as_secs_f64() * QUOTA;
        self.tokens = (self.tokens + earned).min(self.depth);
        self.filled = now;
        let enough = self.tokens >= 1.0 - 1e-9;
        self.tokens -= f64::from(u8::from(enough));
        enough
    }
}

/// Returns the seconds that the calls took, and the number of throttled calls.
async fn run(world: World, seed: u64) -> (f64, usize) {
    let bucket =
        Arc::new(Mutex::new(Bucket { depth: world.burst, tokens: world.burst, filled: Instant::now() }));
    let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
    let limiter = Arc::new(LocalUpstreamLimiter::new(AwsQuota::default(), QueueBounds::default()));
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let quota_key = QuotaKey { location, operation: Operation::AssociateKmsKey };
    let others = (world.others > 0.0)
        .then(|| tokio::spawn(other_clients(world, Arc::clone(&bucket), Arc::clone(&rng))));
    let start = Instant::now();
    let remaining = Arc::new(Mutex::new((CALLS, 0)));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (limiter, quota_key, bucket, rng, remaining) = (
            Arc::clone(&limiter),
            quota_key.clone(),
            Arc::clone(&bucket),
            Arc::clone(&rng),
            Arc::clone(&remaining),
        );
        workers.spawn(async move {
            loop {
                {
                    let mut remaining = remaining.lock();
                    if remaining.0 == 0 {
                        return;
                    }
                    remaining.0 -= 1;
                }
                loop {
                    let deadline = (Instant::now() + Duration::from_mins(1)).into_std();
                    let permit =
                        limiter.acquire(&quota_key, &"acme".parse().unwrap(), deadline).await.unwrap();
                    let latency = rng.lock().random_range(world.latency.0..world.latency.1);
                    sleep(Duration::from_secs_f64(latency * world.on_the_way)).await;
                    let accepted = bucket.lock().take();
                    sleep(Duration::from_secs_f64(latency * (1.0 - world.on_the_way))).await;
                    if accepted {
                        permit.used(UpstreamOutcome::Counted);
                        break;
                    }
                    permit.used(UpstreamOutcome::Throttled);
                    remaining.lock().1 += 1;
                }
            }
        });
    }
    workers.join_all().await;
    if let Some(others) = others {
        others.abort();
    }
    let throttled = remaining.lock().1;
    (start.elapsed().as_secs_f64(), throttled)
}

async fn other_clients(world: World, bucket: Arc<Mutex<Bucket>>, rng: Arc<Mutex<StdRng>>) {
    let mut next = Instant::now();
    loop {
        let mean = 1.0 / world.others;
        let draw = rng.lock().random::<f64>();
        next += Duration::from_secs_f64(if world.at_random { -mean * (1.0 - draw).ln() } else { mean });
        sleep_until(next).await;
        bucket.lock().take();
    }
}

/// Returns the seconds of a bulk job in many accounts, each with its own bucket, and the number of throttled
/// calls.
async fn bulk() -> (f64, usize) {
    let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(9)));
    let limiter = Arc::new(LocalUpstreamLimiter::new(AwsQuota::default(), QueueBounds::default()));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for number in 0..LOCATIONS {
        let account = format!("{:012}", 100_000_000_000 + u64::from(number)).parse().unwrap();
        let location = Location { account, region: "eu-west-1".parse().unwrap() };
        let quota_key = QuotaKey { location, operation: Operation::AssociateKmsKey };
        let bucket = Arc::new(Mutex::new(Bucket { depth: QUOTA, tokens: QUOTA, filled: start }));
        let remaining = Arc::new(Mutex::new(GROUPS));
        for _ in 0..2 {
            let (limiter, quota_key, rng) = (Arc::clone(&limiter), quota_key.clone(), Arc::clone(&rng));
            let (bucket, remaining) = (Arc::clone(&bucket), Arc::clone(&remaining));
            workers.spawn(async move {
                let (principal, mut throttled) = ("acme".parse().unwrap(), 0);
                loop {
                    {
                        let mut remaining = remaining.lock();
                        if *remaining == 0 {
                            return throttled;
                        }
                        *remaining -= 1;
                    }
                    loop {
                        let deadline = (Instant::now() + Duration::from_mins(1)).into_std();
                        let permit = limiter.acquire_bulk(&quota_key, &principal, deadline).await.unwrap();
                        let latency = rng.lock().random_range(0.010..0.050);
                        let accepted = bucket.lock().take();
                        sleep(Duration::from_secs_f64(latency)).await;
                        if accepted {
                            permit.used(UpstreamOutcome::Counted);
                            break;
                        }
                        permit.used(UpstreamOutcome::Throttled);
                        throttled += 1;
                    }
                }
            });
        }
    }
    let throttled = workers.join_all().await.into_iter().sum();
    (start.elapsed().as_secs_f64(), throttled)
}

fn run_paused<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

/// Runs the same cases with boto3, which it installs into Cargo's temporary folder for benches.
fn boto3(calls: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boto3");
    let python = venv.join("bin/python");
    let succeeds = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    let installed =
        succeeds(Command::new(&python).args(["-c", "import boto3"]).stderr(std::process::Stdio::null()))
            || succeeds(Command::new("python3").args(["-m", "venv"]).arg(&venv))
                && succeeds(Command::new(&python).args(["-m", "pip", "install", "--quiet", "boto3==1.44.5"]));
    println!("\nboto3, {calls} calls for each case, in real time");
    if !installed || !succeeds(Command::new(&python).arg(here.join("benches/pace/retry_modes.py")).arg(calls))
    {
        println!("boto3 could not run: it needs python3 with venv, and PyPI");
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let calls_of_boto3 = match arguments.as_slice() {
        [] => BOTO3_CALLS,
        [name, calls] if name == "--boto3" => calls.as_str(),
        _ => return println!("usage: pace [--boto3 CALLS]"),
    };
    let quiet = World {
        name: "burst of 5",
        burst: 5.0,
        latency: (0.010, 0.050),
        on_the_way: 0.0,
        others: 0.0,
        at_random: false,
        best: QUOTA,
    };
    let one = World { burst: 1.0, ..quiet };
    let envs = [
        quiet,
        World { name: "burst of 1, 10-50 ms at AWS", ..one },
        World { name: "burst of 1, 1-3 ms on the way", latency: (0.001, 0.003), on_the_way: 1.0, ..one },
        World { name: "burst of 1, 10-50 ms half on the way", on_the_way: 0.5, best: 1.0 / 0.210, ..one },
        World { name: "burst of 1, 10-50 ms on the way", on_the_way: 1.0, best: 1.0 / 0.220, ..one },
        World { name: "others use 40 %, regular", others: 2.0, best: 3.0, ..quiet },
        World { name: "others use 40 %, at random", others: 2.0, at_random: true, best: 3.0, ..quiet },
    ];
    println!("{CALLS} calls, median of five runs; failures: 0 (a throttled call is repeated)");
    for world in envs {
        let mut runs: Vec<_> = (0..5).map(|seed| run_paused(run(world, seed))).collect();
        runs.sort_by(|one, other| one.0.total_cmp(&other.0));
        let Some(&(seconds, throttled)) = runs.get(2) else { continue };
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let (calls, throttled) = (CALLS as f64, throttled as f64);
        println!(
            "{:40} {:5.2}/s, {:5.1} % of the best; {:.3} throttles per success",
            world.name,
            calls / seconds,
            100.0 * calls / seconds / world.best,
            throttled / calls,
        );
    }
    let (seconds, throttled) = run_paused(bulk());
    let ideal = f64::from(GROUPS) / QUOTA;
    println!(
        "bulk, {LOCATIONS} locations of {GROUPS} log groups: {seconds:.1} s, {:.3}x of the ideal {ideal:.1} s; {throttled} throttles",
        seconds / ideal
    );
    if calls_of_boto3 != "0" {
        boto3(calls_of_boto3);
    }
}
