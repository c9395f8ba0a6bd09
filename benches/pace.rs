//! How well the pace keeps AWS's quota (rows 8 and 9 of the goals): the real pacer under virtual time,
//! against a model of AWS's bucket; and boto3 in its retry modes in the same cases, in real time against
//! the same model behind HTTP (`benches/pace/retry_modes.py`, which needs python3 and `PyPI` once).
//! `cargo bench --bench pace`, with `-- --boto3 500` for as many calls of boto3 as of ours, and
//! `-- --boto3 0` for none.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and ends where it cannot go on"
)]

use std::{
    env,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use logkey::{
    domain::association::Location,
    limit::{AwsQuota, LocalUpstreamLimiter, QueueBounds},
    ports::limit::{Operation, QuotaKey, UpstreamLimiter as _, UpstreamOutcome},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

const QUOTA: f64 = 5.0;
const CALLS: usize = 500;
const WORKERS: usize = 8;
/// Account-Regions of a bulk job, and log groups in each.
const LOCATIONS: u32 = 200;
const GROUPS: u32 = 200;
/// Calls that each of boto3's cases makes, unless the command line says otherwise: it takes real time.
const BOTO3_CALLS: &str = "100";

/// What AWS is like.
#[derive(Clone, Copy)]
struct World {
    name: &'static str,
    burst: f64,
    latency: (f64, f64),
    /// Which part of the latency lies before the bucket is asked.
    on_the_way: f64,
    /// Calls a second of someone else.
    unseen: f64,
    at_random: bool,
    /// The best that any caller could do, in calls a second.
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

/// Seconds that the calls took, and throttles.
async fn run(world: World, seed: u64) -> (f64, usize) {
    let bucket =
        Arc::new(Mutex::new(Bucket { depth: world.burst, tokens: world.burst, filled: Instant::now() }));
    let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
    let limiter = Arc::new(LocalUpstreamLimiter::new(AwsQuota::default(), QueueBounds::default()));
    let at = Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let quota_key = QuotaKey { location: at, operation: Operation::AssociateKmsKey };
    let unseen =
        (world.unseen > 0.0).then(|| tokio::spawn(unseen(world, Arc::clone(&bucket), Arc::clone(&rng))));
    let start = Instant::now();
    let left = Arc::new(Mutex::new((CALLS, 0)));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (limiter, quota_key, bucket, rng, left) = (
            Arc::clone(&limiter),
            quota_key.clone(),
            Arc::clone(&bucket),
            Arc::clone(&rng),
            Arc::clone(&left),
        );
        workers.spawn(async move {
            loop {
                {
                    let mut left = left.lock().unwrap();
                    if left.0 == 0 {
                        return;
                    }
                    left.0 -= 1;
                }
                loop {
                    let deadline = (Instant::now() + Duration::from_mins(1)).into_std();
                    let permit =
                        limiter.acquire(&quota_key, &"acme".parse().unwrap(), deadline).await.unwrap();
                    let latency = rng.lock().unwrap().random_range(world.latency.0..world.latency.1);
                    sleep(Duration::from_secs_f64(latency * world.on_the_way)).await;
                    let accepted = bucket.lock().unwrap().take();
                    sleep(Duration::from_secs_f64(latency * (1.0 - world.on_the_way))).await;
                    if accepted {
                        permit.used(UpstreamOutcome::Counted);
                        break;
                    }
                    permit.used(UpstreamOutcome::Throttled);
                    left.lock().unwrap().1 += 1;
                }
            }
        });
    }
    workers.join_all().await;
    if let Some(unseen) = unseen {
        unseen.abort();
    }
    let throttled = left.lock().unwrap().1;
    (start.elapsed().as_secs_f64(), throttled)
}

async fn unseen(world: World, bucket: Arc<Mutex<Bucket>>, rng: Arc<Mutex<StdRng>>) {
    let mut next = Instant::now();
    loop {
        let mean = 1.0 / world.unseen;
        let draw = rng.lock().unwrap().random::<f64>();
        next += Duration::from_secs_f64(if world.at_random { -mean * (1.0 - draw).ln() } else { mean });
        sleep_until(next).await;
        bucket.lock().unwrap().take();
    }
}

/// Seconds that a bulk job takes over many accounts, each with a bucket of its own, and its throttles.
async fn bulk() -> (f64, usize) {
    let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(9)));
    let limiter = Arc::new(LocalUpstreamLimiter::new(AwsQuota::default(), QueueBounds::default()));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for location in 0..LOCATIONS {
        let account = format!("{:012}", 100_000_000_000 + u64::from(location)).parse().unwrap();
        let at = Location { account, region: "eu-west-1".parse().unwrap() };
        let quota_key = QuotaKey { location: at, operation: Operation::AssociateKmsKey };
        let bucket = Arc::new(Mutex::new(Bucket { depth: QUOTA, tokens: QUOTA, filled: start }));
        let left = Arc::new(Mutex::new(GROUPS));
        for _ in 0..2 {
            let (limiter, quota_key, rng) = (Arc::clone(&limiter), quota_key.clone(), Arc::clone(&rng));
            let (bucket, left) = (Arc::clone(&bucket), Arc::clone(&left));
            workers.spawn(async move {
                let (principal, mut throttled) = ("acme".parse().unwrap(), 0);
                loop {
                    {
                        let mut left = left.lock().unwrap();
                        if *left == 0 {
                            return throttled;
                        }
                        *left -= 1;
                    }
                    loop {
                        let deadline = (Instant::now() + Duration::from_mins(1)).into_std();
                        let permit = limiter.acquire_bulk(&quota_key, &principal, deadline).await.unwrap();
                        let latency = rng.lock().unwrap().random_range(0.010..0.050);
                        let accepted = bucket.lock().unwrap().take();
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

fn virtually<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

/// The same cases by boto3, which is installed where Cargo keeps what benches need.
fn boto3(calls: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boto3");
    let python = venv.join("bin/python");
    let did = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    let installed =
        did(Command::new(&python).args(["-c", "import boto3"]).stderr(std::process::Stdio::null()))
            || did(Command::new("python3").args(["-m", "venv"]).arg(&venv))
                && did(Command::new(&python).args(["-m", "pip", "install", "--quiet", "boto3==1.44.5"]));
    println!("\nboto3, {calls} calls a case, in real time");
    if !installed || !did(Command::new(&python).arg(here.join("benches/pace/retry_modes.py")).arg(calls)) {
        println!("boto3 could not be run: python3 with venv and PyPI are needed");
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
        unseen: 0.0,
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
        World { name: "unseen 40 %, regular", unseen: 2.0, best: 3.0, ..quiet },
        World { name: "unseen 40 %, at random", unseen: 2.0, at_random: true, best: 3.0, ..quiet },
    ];
    println!("{CALLS} calls, median of five runs; failures: 0 (a throttled call goes again)");
    for world in envs {
        let mut runs: Vec<_> = (0..5).map(|seed| virtually(run(world, seed))).collect();
        runs.sort_by(|one, other| one.0.total_cmp(&other.0));
        let Some(&(seconds, throttled)) = runs.get(2) else { continue };
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let (calls, throttled) = (CALLS as f64, throttled as f64);
        println!(
            "{:40} {:5.2}/s, {:5.1} % of what can be had; {:.3} throttles a success",
            world.name,
            calls / seconds,
            100.0 * calls / seconds / world.best,
            throttled / calls,
        );
    }
    let (seconds, throttled) = virtually(bulk());
    let ideal = f64::from(GROUPS) / QUOTA;
    println!(
        "bulk, {LOCATIONS} account-Regions of {GROUPS} log groups: {seconds:.1} s, {:.3}x of the ideal {ideal:.1} s; {throttled} throttles",
        seconds / ideal
    );
    if calls_of_boto3 != "0" {
        boto3(calls_of_boto3);
    }
}
