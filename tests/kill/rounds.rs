//! Rounds of load and sudden ends.

use std::{sync::Arc, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::{
    disk::{Disk, Leaves, Syncs},
    join::{Defect, Joined, join},
    lazyfs::LazyFs,
    load::{Answer, Load},
    log,
    process::Process,
    rounds, seed, shared,
    world::TestEnv,
};

const CALLERS: u64 = 16;
/// Checkpoints against which the log is verified in the end.
const KEPT_COPIES: usize = 6;

/// What the store stands on.
pub(crate) enum Storage {
    /// The machine's own disk: what a process wrote outlasts it.
    Plain,
    /// One that loses what was not synced.
    Drops(Arc<Disk>),
    /// The same by other people's means.
    Lazy(LazyFs),
}

/// One run: a world, what it stands on, and what was seen.
pub(crate) struct Run {
    pub(crate) env: Arc<TestEnv>,
    pub(crate) storage: Storage,
    pub(crate) rng: StdRng,
    pub(crate) answers: Vec<Answer>,
    kept_checkpoint: Vec<String>,
    /// The event up to which all are settled.
    floor: i64,
}

// === impl Storage ===

impl Storage {
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Drops(disk) => disk.environment(),
            Self::Plain | Self::Lazy(_) => Vec::new(),
        }
    }

    /// What a kill leaves of the store.
    async fn lose(&self, rng: &mut StdRng) {
        match self {
            Self::Plain => {}
            Self::Drops(disk) => {
                let leaves = if rng.random() { Leaves::Nothing } else { Leaves::Some };
                disk.cut_power(leaves, rng);
            }
            Self::Lazy(lazy) => lazy.cut_power().await,
        }
    }
}

// === impl Run ===

impl Run {
    pub(crate) fn new(env: TestEnv, storage: Storage, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { env: Arc::new(env), storage, rng, answers: Vec::new(), kept_checkpoint: Vec::new(), floor: 0 }
    }

    /// Starts the service and waits until it serves, with all settled that was open.
    pub(crate) async fn start(&mut self) -> Process {
        let mut process = self.spawn();
        self.floor = process.reconciled(&self.env, self.floor).await;
        self.kept_checkpoint.extend(self.checkpoint().await);
        process
    }

    fn spawn(&self) -> Process {
        Process::spawn(&self.env, &self.storage.environment())
    }

    /// Kills the process after this long, with all that this storage loses then.
    pub(crate) async fn kill(&mut self, process: Process, after: Duration) {
        tokio::time::sleep(after).await;
        process.kill();
        self.lose().await;
    }

    /// What a kill leaves of the store, and of what is beside it, is left.
    pub(crate) async fn lose(&mut self) {
        self.storage.lose(&mut self.rng).await;
    }

    pub(crate) fn now(&mut self, milliseconds: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(milliseconds))
    }

    /// One round: now and then the service is killed while it starts; then under load.
    async fn round(&mut self, load: &Load) {
        if self.rng.random_ratio(1, 4) {
            let (process, now) = (self.spawn(), self.now(0..400));
            self.kill(process, now).await;
        }
        let process = self.start().await;
        load.goes_on(1).await;
        let now = self.now(0..600);
        self.kill(process, now).await;
    }

    /// Everything is settled, ended in order, verified, exported and joined.
    pub(crate) async fn join(mut self) -> Result<Joined, Vec<Defect>> {
        let process = self.start().await;
        assert!(process.terminate().await.success());
        let step = self.kept_checkpoint.len().div_ceil(KEPT_COPIES).max(1);
        let kept_checkpoint: Vec<String> =
            self.kept_checkpoint.iter().step_by(step).chain(self.kept_checkpoint.last()).cloned().collect();
        log::verify(&self.env, &kept_checkpoint).unwrap_or_else(|output| panic!("{output}"));
        let events = log::export(&self.env);
        let joined = join(&events, &self.env.changes(), &self.answers);
        if let Ok(joined) = &joined {
            eprintln!("{joined:?}, verified against {} checkpoints of earlier rounds", kept_checkpoint.len());
        }
        joined
    }

    /// The newest checkpoint that anyone can see now.
    async fn checkpoint(&self) -> Option<String> {
        if self.env.is_over_a_server() {
            return shared::checkpoint(&self.env).await;
        }
        let options =
            SqliteConnectOptions::new().filename(self.env.store().join("logkey.db")).read_only(true);
        let mut connection = options.connect().await.ok()?;
        let query = sqlx::query_scalar("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1");
        let note = query.fetch_optional(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        note
    }
}

async fn killed(mut run: Run, seed: u64, count: u32) -> Result<Joined, Vec<Defect>> {
    let load = Load::start(&run.env, CALLERS, seed);
    for round in 0..count {
        run.round(&load).await;
        if round % 10 == 9 {
            eprintln!("{} rounds, {} calls answered", round + 1, load.answered());
        }
    }
    let process = run.start().await;
    run.answers = load.stop().await;
    run.kill(process, Duration::ZERO).await;
    run.join().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn killed_at_any_instant_each_call_of_aws_has_its_intent_and_its_end() {
    let seed = seed("killed");
    let run = Run::new(TestEnv::new().await.troubled(), Storage::Plain, seed);
    let joined = killed(run, seed, rounds(5)).await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert!(joined.cut_off > 0 && joined.changed > 0, "{joined:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn without_power_at_any_instant_what_was_told_is_on_the_disk() {
    let seed = seed("without power");
    let env = TestEnv::new().await.troubled();
    let disk = Arc::new(Disk::under(&env.store()));
    let run = Run::new(env, Storage::Drops(disk), seed);
    let joined = killed(run, seed, rounds(5)).await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert!(joined.cut_off > 0 && joined.changed > 0, "{joined:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn a_disk_that_only_says_that_it_synced_is_found_out() {
    let seed = seed("lies");
    let env = TestEnv::new().await;
    let disk = Arc::new(Disk::under(&env.store()));
    let mut run = Run::new(env, Storage::Drops(Arc::clone(&disk)), seed);
    let process = run.start().await;
    disk.syncs(Syncs::Lie);
    let load = Load::start(&run.env, CALLERS, seed);
    load.goes_on(100).await;
    run.answers = load.stop().await;
    process.kill();
    disk.cut_power(Leaves::Nothing, &mut run.rng);
    disk.syncs(Syncs::Work);
    let defects = run.join().await.expect_err("the join finds nothing wrong with a log that was lost");
    assert!(defects.iter().any(|defect| matches!(defect, Defect::NoIntent(_))), "{defects:#?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn told_to_end_under_load_it_records_every_outcome() {
    let seed = seed("terminated");
    let mut run = Run::new(TestEnv::new().await.troubled(), Storage::Plain, seed);
    let load = Load::start(&run.env, CALLERS, seed);
    for _ in 0..rounds(3) {
        let process = run.start().await;
        load.goes_on(1).await;
        tokio::time::sleep(run.now(0..500)).await;
        assert!(process.terminate().await.success());
    }
    let process = run.start().await;
    run.answers = load.stop().await;
    assert!(process.terminate().await.success());
    let joined = run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert_eq!(joined.cut_off, 0, "an end in order leaves no intent without an outcome: {joined:?}");
}

/// Needs `LazyFS` (github.com/dsrhaslab/lazyfs), whose program `LOGKEY_LAZYFS` names; not part of `tests/run`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LazyFS: see the function"]
async fn lazyfs_agrees() {
    let seed = seed("lazyfs");
    let env = TestEnv::new().await.troubled();
    let lazy = LazyFs::mount(&env.store()).await;
    let run = Run::new(env, Storage::Lazy(lazy), seed);
    let joined = killed(run, seed, rounds(5)).await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert!(joined.cut_off > 0 && joined.changed > 0, "{joined:?}");
}
