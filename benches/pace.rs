//! How well the pace keeps AWS's quota (row 8 of the goals): the real pacer under virtual time, against a
//! model of AWS's bucket. `cargo bench --bench pace`; `benches/pace/retry_modes.py` is the same for boto3.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and ends where it cannot go on"
)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use logkey::{
    domain::association::Place,
    limit::{LocalPace, Upstream, Waiting},
    ports::limit::{Feedback, Lane, Operation, Pace as _},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

const QUOTA: f64 = 5.0;
const CALLS: usize = 500;
const WORKERS: usize = 8;

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
    let pace = Arc::new(LocalPace::new(Upstream::default(), Waiting::default()));
    let at = Place { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let lane = Lane { place: at, operation: Operation::AssociateKmsKey };
    let unseen =
        (world.unseen > 0.0).then(|| tokio::spawn(unseen(world, Arc::clone(&bucket), Arc::clone(&rng))));
    let start = Instant::now();
    let left = Arc::new(Mutex::new((CALLS, 0)));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (pace, lane, bucket, rng, left) =
            (Arc::clone(&pace), lane.clone(), Arc::clone(&bucket), Arc::clone(&rng), Arc::clone(&left));
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
                    let turn = pace.turn(&lane, &"acme".parse().unwrap(), deadline).await.unwrap();
                    let latency = rng.lock().unwrap().random_range(world.latency.0..world.latency.1);
                    sleep(Duration::from_secs_f64(latency * world.on_the_way)).await;
                    let accepted = bucket.lock().unwrap().take();
                    sleep(Duration::from_secs_f64(latency * (1.0 - world.on_the_way))).await;
                    if accepted {
                        turn.used(Feedback::Counted);
                        break;
                    }
                    turn.used(Feedback::Throttled);
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

fn main() {
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
    let worlds = [
        quiet,
        World { name: "burst of 1, 10-50 ms at AWS", ..one },
        World { name: "burst of 1, 1-3 ms on the way", latency: (0.001, 0.003), on_the_way: 1.0, ..one },
        World { name: "burst of 1, 10-50 ms half on the way", on_the_way: 0.5, best: 1.0 / 0.210, ..one },
        World { name: "burst of 1, 10-50 ms on the way", on_the_way: 1.0, best: 1.0 / 0.220, ..one },
        World { name: "unseen 40 %, regular", unseen: 2.0, best: 3.0, ..quiet },
        World { name: "unseen 40 %, at random", unseen: 2.0, at_random: true, best: 3.0, ..quiet },
    ];
    println!("{CALLS} calls, median of five runs; failures: 0 (a throttled call goes again)");
    for world in worlds {
        let mut runs: Vec<_> = (0..5)
            .map(|seed| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .start_paused(true)
                    .build()
                    .unwrap();
                runtime.block_on(run(world, seed))
            })
            .collect();
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
}
