//! Rounds in which the service runs under load and is then killed.

use std::{sync::Arc, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::{
    disk::{Disk, Syncs, Unsynced},
    join::{Defect, Joined, join},
    lazyfs::LazyFs,
    load::{Answer, Load},
    log,
    process::Process,
    rounds, seed, shared,
    world::TestEnv,
};

const CALLERS: u64 = 16;
/// The number of earlier checkpoints that the final log is verified against.
const CHECKPOINTS: usize = 6;

/// The storage under the store.
pub(crate) enum Storage {
    /// The machine's disk; written data survives a kill.
    Plain,
    /// A simulated disk that loses unsynced data.
    LosesUnsynced(Arc<Disk>),
    /// `LazyFS`, which loses unsynced data too.
    Lazy(LazyFs),
}

/// One run: the environment, its storage, and the answers of callers.
pub(crate) struct Run {
    pub(crate) env: Arc<TestEnv>,
    pub(crate) storage: Storage,
    pub(crate) rng: StdRng,
    pub(crate) answers: Vec<Answer>,
    checkpoints: Vec<String>,
    /// The event up to which all intents have ended.
    floor: i64,
    /// Whether a process is stopped for so long that another reconciles its changes.
    pub(crate) stops_processes: bool,
}

// === impl Storage ===

impl Storage {
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::LosesUnsynced(disk) => disk.environment(),
            Self::Plain | Self::Lazy(_) => Vec::new(),
        }
    }

    /// Loses unsynced data, as a power cut does.
    async fn lose_unsynced(&self, rng: &mut StdRng) {
        match self {
            Self::Plain => {}
            Self::LosesUnsynced(disk) => {
                let unsynced = if rng.random() { Unsynced::AllLost } else { Unsynced::PartlyLost };
                disk.cut_power(unsynced, rng);
            }
            Self::Lazy(lazy) => lazy.cut_power().await,
        }
    }
}

// === impl Run ===

impl Run {
    pub(crate) fn new(env: TestEnv, storage: Storage, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self {
            env: Arc::new(env),
            storage,
            rng,
            answers: Vec::new(),
            checkpoints: Vec::new(),
            floor: 0,
            stops_processes: false,
        }
    }

    /// Starts the service and waits until it is ready and has reconciled all open intents.
    pub(crate) async fn start(&mut self) -> Process {
        let mut process = self.spawn();
        self.floor = process.reconciled(&self.env, self.floor).await;
        self.checkpoints.extend(self.checkpoint().await);
        process
    }

    fn spawn(&self) -> Process {
        Process::spawn(&self.env, &self.storage.environment())
    }

    /// Kills the process after a delay; the storage then loses unsynced data.
    pub(crate) async fn kill(&mut self, process: Process, after: Duration) {
        tokio::time::sleep(after).await;
        process.kill();
        self.lose_unsynced().await;
    }

    /// Loses the unsynced data of the store and its folder, as a power cut does.
    pub(crate) async fn lose_unsynced(&mut self) {
        self.storage.lose_unsynced(&mut self.rng).await;
    }

    pub(crate) fn delay(&mut self, milliseconds: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(milliseconds))
    }

    /// One round: sometimes kills the service while it starts, then kills it under load.
    async fn round(&mut self, load: &Load) {
        if self.rng.random_ratio(1, 4) {
            let (process, delay) = (self.spawn(), self.delay(0..400));
            self.kill(process, delay).await;
        }
        let process = self.start().await;
        load.wait_for_answers(1).await;
        let delay = self.delay(0..600);
        self.kill(process, delay).await;
    }

    /// Reconciles everything, stops the service, and verifies, exports and joins the log.
    pub(crate) async fn join(mut self) -> Result<Joined, Vec<Defect>> {
        let process = self.start().await;
        assert!(process.terminate().await.success());
        let step = self.checkpoints.len().div_ceil(CHECKPOINTS).max(1);
        let checkpoints: Vec<String> =
            self.checkpoints.iter().step_by(step).chain(self.checkpoints.last()).cloned().collect();
        log::verify(&self.env, &checkpoints).unwrap_or_else(|output| panic!("{output}"));
        let events = log::export(&self.env);
        let joined = join(&events, &self.env.changes(), &self.answers);
        if let Ok(joined) = &joined {
            assert!(self.stops_processes || joined.late == 0, "{joined:?}");
            eprintln!("{joined:?}, verified against {} checkpoints of earlier rounds", checkpoints.len());
        }
        joined
    }

    /// The newest checkpoint in the store.
    async fn checkpoint(&self) -> Option<String> {
        if self.env.uses_postgres() {
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

async fn run_rounds(mut run: Run, seed: u64, count: u32) -> Result<Joined, Vec<Defect>> {
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
async fn after_kills_each_call_to_aws_has_an_intent_and_an_end() {
    let seed = seed("killed");
    let run = Run::new(TestEnv::new().await.with_faults(), Storage::Plain, seed);
    let joined = run_rounds(run, seed, rounds(5)).await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert!(joined.cut_off > 0 && joined.changed > 0, "{joined:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn after_power_loss_every_confirmed_change_is_on_the_disk() {
    let seed = seed("without power");
    let env = TestEnv::new().await.with_faults();
    let disk = Arc::new(Disk::under(&env.store()));
    let run = Run::new(env, Storage::LosesUnsynced(disk), seed);
    let joined = run_rounds(run, seed, rounds(5)).await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert!(joined.cut_off > 0 && joined.changed > 0, "{joined:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn the_join_detects_a_disk_that_ignores_syncs() {
    let seed = seed("lies");
    let env = TestEnv::new().await;
    let disk = Arc::new(Disk::under(&env.store()));
    let mut run = Run::new(env, Storage::LosesUnsynced(Arc::clone(&disk)), seed);
    let process = run.start().await;
    disk.syncs(Syncs::Lie);
    let load = Load::start(&run.env, CALLERS, seed);
    load.wait_for_answers(100).await;
    run.answers = load.stop().await;
    process.kill();
    disk.cut_power(Unsynced::AllLost, &mut run.rng);
    disk.syncs(Syncs::Work);
    let defects = run.join().await.expect_err("the join must report the lost events");
    assert!(defects.iter().any(|defect| matches!(defect, Defect::NoIntent(_))), "{defects:#?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn termination_under_load_records_every_outcome() {
    let seed = seed("terminated");
    let mut run = Run::new(TestEnv::new().await.with_faults(), Storage::Plain, seed);
    let load = Load::start(&run.env, CALLERS, seed);
    for _ in 0..rounds(3) {
        let process = run.start().await;
        load.wait_for_answers(1).await;
        tokio::time::sleep(run.delay(0..500)).await;
        assert!(process.terminate().await.success());
    }
    let process = run.start().await;
    run.answers = load.stop().await;
    assert!(process.terminate().await.success());
    let joined = run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert_eq!(joined.cut_off, 0, "an orderly end leaves no intent without an outcome: {joined:?}");
}

/// Needs `LazyFS` (github.com/dsrhaslab/lazyfs), whose program `LOGKEY_LAZYFS` names; not part of
/// `tests/run`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LazyFS: see the function"]
async fn after_power_loss_on_lazyfs_the_log_is_complete() {
    let seed = seed("lazyfs");
    let env = TestEnv::new().await.with_faults();
    let lazy = LazyFs::mount(&env.store()).await;
    let run = Run::new(env, Storage::Lazy(lazy), seed);
    let joined = run_rounds(run, seed, rounds(5)).await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert!(joined.cut_off > 0 && joined.changed > 0, "{joined:?}");
}
