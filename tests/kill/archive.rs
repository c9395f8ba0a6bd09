//! Kills `audit rotate-key` and `audit archive` at random points, or cuts the power, while the service starts
//! and stops under load. No event may be lost.

use std::{
    fs,
    path::PathBuf,
    process::Output,
    sync::Arc,
    time::{Duration, Instant},
};

use logkey::{
    app::SystemClock,
    audit::{
        self, Journal, LogFolder, Sequencer,
        archive::ArchiveReader,
        checkpoint::{self, SigningKey},
    },
    domain::audit::{AuditOperation, Event, JournalEntry},
    ports::{AuditLog as _, Clock as _},
    store,
};
use rand::Rng as _;
use sqlx::{ConnectOptions as _, Connection as _, Row as _, sqlite::SqliteConnectOptions};

use crate::{
    disk::{Disk, Syncs, Unsynced},
    load::Load,
    log,
    process::{Process, logkey, until},
    rounds,
    rounds::{Run, Storage},
    seed,
    world::TestEnv,
};

const CALLERS: u64 = 8;
/// Events in addition to those of calls, so that archiving removes rows in several steps.
const EXTRA_EVENTS: usize = 5000;
const ROTATE: &[&str] = &["rotate-key"];
const END: &[&str] = &["rotate-key", "--end"];

/// The step that a command must reach before it is killed, a random time later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Start,
    /// The command added files to the archive.
    Files,
    /// The command replaced the archive's checkpoint.
    Checkpoint,
    /// The command removed the first rows from the store.
    Rows,
}

/// The progress of archiving.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Progress {
    files: usize,
    checkpoint: Option<String>,
    first: i64,
}

struct Maintenance {
    run: Run,
    load: Load,
    /// Every key that signs or has signed, oldest first.
    keys: Vec<String>,
    /// The duration of the last command that ran to its end.
    command_duration: Duration,
    /// The number of rotations and of archivings that were killed before their end.
    interrupted: (usize, usize),
    /// How often events were found both in the store and in the archive.
    overlaps: usize,
}

fn key_file(env: &TestEnv) -> PathBuf {
    checkpoint::default_key_path(&env.store().join("logkey.db"))
}

fn keys(env: &TestEnv) -> Vec<String> {
    SigningKey::open(&key_file(env), "logkey").unwrap().verifiers()
}

/// Writes events to the store as the service does; the service must not run.
async fn fill(env: &TestEnv, count: usize) {
    let store = store::open(&store::Config { url: env.url() }).await.unwrap();
    let clock = Arc::new(SystemClock);
    let key = SigningKey::open_or_create(&key_file(env), "logkey").unwrap();
    let (log, tree) = (Arc::clone(&store.log), Arc::clone(&store.tree));
    let checked = Sequencer::check(log, tree, clock.clone(), key).await.unwrap();
    let config = audit::Config::default();
    let journal = Arc::new(Journal::start(Arc::clone(&store.events), clock, checked.tagger(), config));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (journal, event) =
            (Arc::clone(&journal), Event::for_service(AuditOperation::Reload, SystemClock.now()));
        writers.spawn(async move { journal.commit(JournalEntry::event_only(event)).await.unwrap() });
    }
    writers.join_all().await;
    journal.close().await;
    drop((journal, store, checked));
    // Separate threads close its connections.
    let is_open = |entry: std::io::Result<fs::DirEntry>| {
        entry.and_then(|entry| fs::read_link(entry.path())).is_ok_and(|file| file.starts_with(env.store()))
    };
    until("the store closing its files", async || !fs::read_dir("/proc/self/fd").unwrap().any(is_open)).await;
}

/// The rows of the store.
struct Rows {
    /// The sequence number of the first one.
    first: i64,
    /// The sequence number of the last one.
    newest: i64,
    count: i64,
}

async fn rows(env: &TestEnv) -> Rows {
    let options = SqliteConnectOptions::new().filename(env.store().join("logkey.db")).read_only(true);
    let mut file = options.connect().await.unwrap();
    let query = "SELECT coalesce(min(seq), 1), coalesce(max(seq), 0), count(*) FROM event";
    let row = sqlx::query(query).fetch_one(&mut file).await.unwrap();
    file.close().await.unwrap();
    Rows { first: row.get(0), newest: row.get(1), count: row.get(2) }
}

// === impl Progress ===

impl Progress {
    async fn of(env: &TestEnv) -> Self {
        let files = fs::read_dir(env.archive().join("tile/entries")).map_or(0, Iterator::count);
        let checkpoint = fs::read_to_string(env.archive().join("checkpoint")).ok();
        Self { files, checkpoint, first: rows(env).await.first }
    }

    async fn has_reached(&self, point: Point, env: &TestEnv) -> bool {
        let now = Self::of(env).await;
        match point {
            Point::Start => true,
            Point::Files => now.files != self.files,
            Point::Checkpoint => now.checkpoint != self.checkpoint,
            Point::Rows => now.first != self.first,
        }
    }
}

// === impl Maintenance ===

impl Maintenance {
    async fn start(env: TestEnv, storage: impl FnOnce(&TestEnv) -> Storage, seed: u64) -> Self {
        fill(&env, EXTRA_EVENTS).await;
        let storage = storage(&env);
        let run = Run::new(env, storage, seed);
        let load = Load::start(&run.env, CALLERS, seed);
        let (keys, command_duration) = (Vec::new(), Duration::from_millis(300));
        Self { run, load, keys, command_duration, interrupted: (0, 0), overlaps: 0 }
    }

    fn command(&self, subcommand: &[&str]) -> std::process::Command {
        let mut command = logkey(&[&["audit"], subcommand].concat());
        command.arg("--config").arg(self.run.env.config()).envs(self.run.storage.environment());
        command
    }

    fn archive(&self) -> std::process::Command {
        let mut command = self.command(&["archive", "--older-than", "0s"]);
        command.arg("--out").arg(self.run.env.archive());
        command
    }

    /// Runs a command to its end.
    async fn run_to_end(&mut self, mut command: std::process::Command) -> (Option<i32>, String) {
        let started = Instant::now();
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        self.command_duration = started.elapsed();
        let Output { status, stdout, stderr } = output;
        (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
    }

    /// Runs a command and kills it. Returns whether it was still running.
    async fn run_and_kill(&mut self, mut command: std::process::Command, point: Point) -> bool {
        let before = Progress::of(&self.run.env).await;
        let errors = fs::File::create(self.run.env.path("stderr-of-command")).unwrap();
        let mut child = command.stdout(errors.try_clone().unwrap()).stderr(errors).spawn().unwrap();
        let max = if point == Point::Start { self.command_duration } else { self.command_duration / 8 };
        until("the end of the command, or the point to kill it", async || {
            child.try_wait().unwrap().is_some() || before.has_reached(point, &self.run.env).await
        })
        .await;
        tokio::time::sleep(max.mul_f64(self.run.rng.random_range(0.0..1.0))).await;
        let finished = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        !finished
    }

    /// Asserts that every event is in the store or in the archive, and identical if it is in both. Also
    /// verifies the signed tree, with the archive and without.
    async fn assert_nothing_lost(&mut self) {
        let env = &self.run.env;
        let folder = env.archive();
        let archived = ArchiveReader::open_existing(Arc::new(LogFolder::durable(&folder))).await.unwrap();
        let last = archived.as_ref().map_or(0, |archive| i64::try_from(archive.size()).unwrap());
        let Rows { first, newest, count } = rows(env).await;
        assert_eq!(count, newest - first + 1, "events {first} to {newest}");
        assert!(first <= last + 1, "events {last} to {first} are neither in the archive nor in the store");
        if let Some(archive) = archived.filter(|_| first <= last) {
            self.overlaps += 1;
            let store = store::open_reader(&store::Config { url: env.url() }).await.unwrap();
            let mut at = u64::try_from(first).unwrap() - 1;
            while at < archive.size() {
                let (archived_events, stored_events) =
                    (archive.after(at, 256).await.unwrap(), store.log.after(at, 512).await.unwrap());
                assert!(!archived_events.is_empty() && archived_events.len() <= stored_events.len());
                for (archived_event, stored_event) in archived_events.iter().zip(&stored_events) {
                    assert_eq!(
                        (archived_event.seq, &archived_event.body),
                        (stored_event.seq, &stored_event.body)
                    );
                }
                at = archived_events.last().unwrap().seq;
            }
        }
        let output = log::audit(env, &["verify"]);
        assert_eq!(output.0, Some(if first > 1 { 2 } else { 0 }), "{}", output.1);
        if last > 0 {
            let output = log::audit(env, &["verify", "--archive", env.archive().to_str().unwrap()]);
            assert_eq!(output.0, Some(0), "{}", output.1);
        }
    }

    /// Rotates the key while the service runs; the command may be killed before its end.
    async fn rotate_while_running(&mut self, process: &Process) {
        let before = keys(&self.run.env);
        self.interrupted.0 += usize::from(self.run_and_kill(self.command(ROTATE), Point::Start).await);
        let after = keys(&self.run.env);
        assert!(after == before || after[1..] == before, "{before:?}, then {after:?}");
        if self.run.rng.random() {
            process.signal("-HUP");
        }
    }

    /// Runs the rotation again, to its end: the new key signs, and no second new key was created.
    async fn rotate(&mut self) {
        let before = keys(&self.run.env);
        let (code, output) = self.run_to_end(self.command(ROTATE)).await;
        let signs = output.contains("still holds the previous key");
        assert!(code == Some(0) || (code == Some(1) && signs), "{output}");
        let after = keys(&self.run.env);
        assert_eq!(after.len(), 2);
        assert!(after == before || after[1..] == before, "{before:?}, then {after:?}");
        assert!(code == Some(1) || output.contains(&after[0]), "{output}");
    }

    /// Retires the old key: first the command may be killed, then it runs to its end.
    async fn end_rotation(&mut self) {
        let before = keys(&self.run.env);
        self.interrupted.0 += usize::from(self.run_and_kill(self.command(END), Point::Start).await);
        self.run.lose_unsynced().await;
        let (code, output) = self.run_to_end(self.command(END)).await;
        assert_eq!(code, Some(0), "{output}");
        assert_eq!(keys(&self.run.env), before[..1]);
        self.keys.push(before[0].clone());
    }

    async fn round(&mut self, number: u32) {
        let process = self.run.start().await;
        if self.keys.is_empty() {
            self.keys = keys(&self.run.env);
        }
        self.load.wait_for_answers(20).await;
        let (code, output) = self.run_to_end(self.archive()).await;
        assert!(code == Some(1) && output.contains("in use by another process"), "{output}");
        self.rotate_while_running(&process).await;
        let delay = self.run.delay(0..400);
        self.run.kill(process, delay).await;
        self.assert_nothing_lost().await;
        if self.run.rng.random() {
            self.interrupted.0 += usize::from(self.run_and_kill(self.command(ROTATE), Point::Start).await);
            self.run.lose_unsynced().await;
            self.assert_nothing_lost().await;
        }
        self.rotate().await;

        for _ in 0..2 {
            let points = [Point::Start, Point::Files, Point::Checkpoint, Point::Rows];
            // The first round has the most rows to remove.
            let any = points[self.run.rng.random_range(0..points.len())];
            let point = if number == 0 { Point::Rows } else { any };
            self.interrupted.1 += usize::from(self.run_and_kill(self.archive(), point).await);
            self.run.lose_unsynced().await;
            self.assert_nothing_lost().await;
        }
        if self.run.rng.random() {
            let (code, output) = self.run_to_end(self.archive()).await;
            assert_eq!(code, Some(0), "{output}");
            let archived = ArchiveReader::in_folder(&self.run.env.archive()).await;
            let archived = archived.map_or(0, |archive| archive.size());
            assert_eq!(u64::try_from(rows(&self.run.env).await.first).unwrap(), archived + 1, "{output}");
        }
        self.end_rotation().await;
        self.assert_nothing_lost().await;
    }

    /// Verifies the whole log from each of the keys, and joins all its events.
    async fn finish(mut self) {
        let process = self.run.start().await;
        self.run.answers = self.load.stop().await;
        assert!(process.terminate().await.success());
        let env = Arc::clone(&self.run.env);
        let archive = env.archive();
        for trusted_keys in &self.keys {
            let verify = ["verify", "--verifier", trusted_keys, "--archive", archive.to_str().unwrap()];
            let (code, output) = log::audit(&env, &verify);
            assert_eq!(code, Some(0), "from {trusted_keys}: {output}");
        }
        let named: Vec<_> = log::export(&env).into_iter().filter_map(|event| event.rotated).collect();
        for pair in self.keys.windows(2) {
            let [old, new] = pair else { continue };
            assert!(named.contains(&(old.clone(), new.clone())), "{old} and {new} are not in {named:?}");
        }
        let (rotations, archivings) = self.interrupted;
        let keys = self.keys.len();
        eprintln!(
            "killed {rotations} rotations to {keys} keys and {archivings} archivings; {} overlaps found",
            self.overlaps
        );
        let joined = self.run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
        assert!(joined.changed > 0 && rotations + archivings > 0, "{joined:?}");
    }
}

async fn run_rounds(env: TestEnv, storage: impl FnOnce(&TestEnv) -> Storage, seed: u64) {
    let mut maintenance = Maintenance::start(env, storage, seed).await;
    let count = rounds(3);
    for number in 0..count {
        maintenance.round(number).await;
        eprintln!(
            "{} rounds, {:?} interrupted, {} overlaps",
            number + 1,
            maintenance.interrupted,
            maintenance.overlaps
        );
    }
    maintenance.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn killing_archiving_or_rotation_at_any_point_loses_nothing() {
    let seed = seed("kept");
    run_rounds(TestEnv::new().await.with_faults(), |_| Storage::Plain, seed).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn power_loss_during_archiving_or_rotation_loses_nothing() {
    let seed = seed("kept without power");
    let drops = |env: &TestEnv| Storage::LosesUnsynced(Arc::new(Disk::under(&env.store())));
    run_rounds(TestEnv::new().await.with_faults(), drops, seed).await;
}

/// The checkpoint of the new key may be in memory only, after a kill. The command that removes the old key then
/// depends on it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn the_old_key_is_removed_only_when_the_checkpoint_of_the_new_one_is_on_the_disk() {
    let seed = seed("removed");
    let env = TestEnv::new().await;
    let disk = Arc::new(Disk::under(&env.store()));
    let storage = Storage::LosesUnsynced(Arc::clone(&disk));
    let run = Run::new(env, storage, seed);
    let command_duration = Duration::from_millis(300);
    let load = Load::start(&run.env, CALLERS, seed);
    let mut maintenance =
        Maintenance { run, load, keys: Vec::new(), command_duration, interrupted: (0, 0), overlaps: 0 };
    let process = maintenance.run.start().await;
    maintenance.load.wait_for_answers(20).await;
    let no_load = Load::start(&maintenance.run.env, 0, seed);
    std::mem::replace(&mut maintenance.load, no_load).stop().await;
    maintenance.rotate().await;
    // From here on, writes stay in memory.
    disk.syncs(Syncs::Lie);
    process.signal("-HUP");
    let env = Arc::clone(&maintenance.run.env);
    until("a checkpoint of the new key", async || {
        log::audit(&env, &["verify", "--verifier", &keys(&env)[0]]).0 == Some(0)
    })
    .await;
    process.kill();
    disk.syncs(Syncs::Work);
    let (code, output) = maintenance.run_to_end(maintenance.command(END)).await;
    assert_eq!(code, Some(0), "{output}");
    disk.cut_power(Unsynced::AllLost, &mut maintenance.run.rng);
    let (code, output) = log::audit(&env, &["verify"]);
    assert_eq!(code, Some(0), "{output}");
}
