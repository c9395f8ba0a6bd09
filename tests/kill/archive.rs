//! The log is kept for years: `audit rotate-key` and `audit archive` are killed half way, or lose their
//! power, again and again, while the service comes and goes under load. Nothing is lost by it.

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
        self, Journal,
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
    disk::Disk,
    load::Load,
    log,
    process::{Process, logkey, until},
    rounds,
    rounds::{Run, Storage},
    seed,
    world::TestEnv,
};

const CALLERS: u64 = 8;
/// Events beside those of calls, so that removing them takes several steps.
const MORE: usize = 5000;
const ROTATE: &[&str] = &["rotate-key"];
const END: &[&str] = &["rotate-key", "--end"];

/// What has to have happened before a command is killed, some moment later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Start,
    /// Files were added to the archive.
    Files,
    /// The archive's checkpoint was replaced.
    Checkpoint,
    /// The first rows were removed from the store.
    Rows,
}

/// How far archiving has come.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Marks {
    files: usize,
    checkpoint: Option<String>,
    first: i64,
}

struct Keep {
    run: Run,
    load: Load,
    /// Every key that signs or has signed, oldest first.
    keys: Vec<String>,
    /// How long a command takes that is left alone.
    takes: Duration,
    /// How many were killed before their end: of rotations, and of archiving.
    cut: (usize, usize),
    /// How often events were found in the store and in the archive.
    halfway: usize,
}

fn key_file(env: &TestEnv) -> PathBuf {
    checkpoint::default_key_path(&env.store().join("logkey.db"))
}

fn keys(env: &TestEnv) -> Vec<String> {
    SigningKey::open(&key_file(env), "logkey").unwrap().verifiers()
}

/// Writes events as the service does, while it does not run.
async fn fill(env: &TestEnv, count: usize) {
    let store = store::open(&store::Config { url: env.url() }).await.unwrap();
    let clock = Arc::new(SystemClock);
    let journal = Arc::new(Journal::start(Arc::clone(&store.events), clock, audit::Config::default()));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (journal, event) =
            (Arc::clone(&journal), Event::for_service(AuditOperation::Reload, SystemClock.now()));
        writers.spawn(async move { journal.commit(JournalEntry::event_only(event)).await.unwrap() });
    }
    writers.join_all().await;
    journal.close().await;
    drop((journal, store));
    // Its connections are closed by threads of their own.
    let is_open = |entry: std::io::Result<fs::DirEntry>| {
        entry.and_then(|entry| fs::read_link(entry.path())).is_ok_and(|file| file.starts_with(env.store()))
    };
    until("the end of the store", async || !fs::read_dir("/proc/self/fd").unwrap().any(is_open)).await;
}

/// The first row, the last, and how many there are.
async fn rows(env: &TestEnv) -> (i64, i64, i64) {
    let options = SqliteConnectOptions::new().filename(env.store().join("logkey.db")).read_only(true);
    let mut file = options.connect().await.unwrap();
    let query = "SELECT coalesce(min(seq), 1), coalesce(max(seq), 0), count(*) FROM event";
    let row = sqlx::query(query).fetch_one(&mut file).await.unwrap();
    file.close().await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

// === impl Marks ===

impl Marks {
    async fn of(env: &TestEnv) -> Self {
        let files = fs::read_dir(env.archive().join("tile/entries")).map_or(0, Iterator::count);
        let checkpoint = fs::read_to_string(env.archive().join("checkpoint")).ok();
        Self { files, checkpoint, first: rows(env).await.0 }
    }

    async fn passed(&self, point: Point, env: &TestEnv) -> bool {
        let now = Self::of(env).await;
        match point {
            Point::Start => true,
            Point::Files => now.files != self.files,
            Point::Checkpoint => now.checkpoint != self.checkpoint,
            Point::Rows => now.first != self.first,
        }
    }
}

// === impl Keep ===

impl Keep {
    async fn begin(env: TestEnv, storage: impl FnOnce(&TestEnv) -> Storage, seed: u64) -> Self {
        fill(&env, MORE).await;
        let storage = storage(&env);
        let run = Run::new(env, storage, seed);
        let load = Load::start(&run.env, CALLERS, seed);
        let (keys, takes) = (Vec::new(), Duration::from_millis(300));
        Self { run, load, keys, takes, cut: (0, 0), halfway: 0 }
    }

    fn command(&self, verb: &[&str]) -> std::process::Command {
        let mut command = logkey(&[&["audit"], verb].concat());
        command.arg("--config").arg(self.run.env.config()).envs(self.run.storage.environment());
        command
    }

    fn archive(&self) -> std::process::Command {
        let mut command = self.command(&["archive", "--older-than", "0s"]);
        command.arg("--out").arg(self.run.env.archive());
        command
    }

    /// Runs a command to its end.
    async fn whole(&mut self, mut command: std::process::Command) -> (Option<i32>, String) {
        let started = Instant::now();
        let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        self.takes = started.elapsed();
        let Output { status, stdout, stderr } = done;
        (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
    }

    /// Runs a command and kills it; tells whether it had not ended by then.
    async fn cut_short(&mut self, mut command: std::process::Command, point: Point) -> bool {
        let before = Marks::of(&self.run.env).await;
        let errors = fs::File::create(self.run.env.path("stderr-of-command")).unwrap();
        let mut child = command.stdout(errors.try_clone().unwrap()).stderr(errors).spawn().unwrap();
        let max = if point == Point::Start { self.takes } else { self.takes / 8 };
        until("its end, or the point at which it is killed", async || {
            child.try_wait().unwrap().is_some() || before.passed(point, &self.run.env).await
        })
        .await;
        tokio::time::sleep(max.mul_f64(self.run.rng.random_range(0.0..1.0))).await;
        let finished = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        !finished
    }

    /// Every event is in the store or in the archive, and where it is in both it is the same; and what
    /// is signed says so, with the archive and without.
    async fn nothing_is_lost(&mut self) {
        let env = &self.run.env;
        let archived = ArchiveReader::open(&env.archive()).ok();
        let last = archived.as_ref().map_or(0, |archive| i64::try_from(archive.size()).unwrap());
        let (first, newest, count) = rows(env).await;
        assert_eq!(count, newest - first + 1, "events {first} to {newest}");
        assert!(first <= last + 1, "events {last} to {first} are neither in the archive nor in the store");
        if let Some(archive) = archived.filter(|_| first <= last) {
            self.halfway += 1;
            let store = store::open_reader(&store::Config { url: env.url() }).await.unwrap();
            let mut at = u64::try_from(first).unwrap() - 1;
            while at < archive.size() {
                let (there, here) =
                    (archive.after(at, 256).await.unwrap(), store.log.after(at, 512).await.unwrap());
                assert!(!there.is_empty() && there.len() <= here.len());
                for (there, here) in there.iter().zip(&here) {
                    assert_eq!((there.seq, &there.body), (here.seq, &here.body));
                }
                at = there.last().unwrap().seq;
            }
        }
        let output = log::audit(env, &["verify"]);
        assert_eq!(output.0, Some(if first > 1 { 2 } else { 0 }), "{}", output.1);
        if last > 0 {
            let output = log::audit(env, &["verify", "--archive", env.archive().to_str().unwrap()]);
            assert_eq!(output.0, Some(0), "{}", output.1);
        }
    }

    /// A new key is put in place beside the running service, or that is killed half way.
    async fn rotate_beside(&mut self, process: &Process) {
        let before = keys(&self.run.env);
        self.cut.0 += usize::from(self.cut_short(self.command(ROTATE), Point::Start).await);
        let after = keys(&self.run.env);
        assert!(after == before || after[1..] == before, "{before:?}, then {after:?}");
        if self.run.rng.random() {
            process.signal("-HUP");
        }
    }

    /// The same again, and to its end: the new key signs, and no second new one was made.
    async fn rotate(&mut self) {
        let before = keys(&self.run.env);
        let (code, output) = self.whole(self.command(ROTATE)).await;
        let signs = output.contains("still holds the key before it");
        assert!(code == Some(0) || (code == Some(1) && signs), "{output}");
        let after = keys(&self.run.env);
        assert_eq!(after.len(), 2);
        assert!(after == before || after[1..] == before, "{before:?}, then {after:?}");
        assert!(code == Some(1) || output.contains(&after[0]), "{output}");
    }

    /// The old key is retired, or that is killed half way and done again.
    async fn end_rotation(&mut self) {
        let before = keys(&self.run.env);
        self.cut.0 += usize::from(self.cut_short(self.command(END), Point::Start).await);
        self.run.lose().await;
        let (code, output) = self.whole(self.command(END)).await;
        assert_eq!(code, Some(0), "{output}");
        assert_eq!(keys(&self.run.env), before[..1]);
        self.keys.push(before[0].clone());
    }

    async fn round(&mut self, number: u32) {
        let process = self.run.start().await;
        if self.keys.is_empty() {
            self.keys = keys(&self.run.env);
        }
        self.load.goes_on(20).await;
        let (code, output) = self.whole(self.archive()).await;
        assert!(code == Some(1) && output.contains("in use by another process"), "{output}");
        self.rotate_beside(&process).await;
        let now = self.run.now(0..400);
        self.run.kill(process, now).await;
        self.nothing_is_lost().await;
        if self.run.rng.random() {
            self.cut.0 += usize::from(self.cut_short(self.command(ROTATE), Point::Start).await);
            self.run.lose().await;
            self.nothing_is_lost().await;
        }
        self.rotate().await;

        for _ in 0..2 {
            let points = [Point::Start, Point::Files, Point::Checkpoint, Point::Rows];
            // At first there is most to be removed.
            let any = points[self.run.rng.random_range(0..points.len())];
            let point = if number == 0 { Point::Rows } else { any };
            self.cut.1 += usize::from(self.cut_short(self.archive(), point).await);
            self.run.lose().await;
            self.nothing_is_lost().await;
        }
        if self.run.rng.random() {
            let (code, output) = self.whole(self.archive()).await;
            assert_eq!(code, Some(0), "{output}");
            let archived = ArchiveReader::open(&self.run.env.archive()).map_or(0, |archive| archive.size());
            assert_eq!(u64::try_from(rows(&self.run.env).await.0).unwrap(), archived + 1, "{output}");
        }
        self.end_rotation().await;
        self.nothing_is_lost().await;
    }

    /// Whoever kept any of the keys follows the log to its end, and every event of it can be joined.
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
        let (rotations, archivings) = self.cut;
        let keys = self.keys.len();
        eprintln!(
            "killed: {rotations} rotations to {keys} keys, {archivings} archivings, {} found half way",
            self.halfway
        );
        let joined = self.run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
        assert!(joined.changed > 0 && rotations + archivings > 0, "{joined:?}");
    }
}

async fn keep_store(env: TestEnv, storage: impl FnOnce(&TestEnv) -> Storage, seed: u64) {
    let mut keep = Keep::begin(env, storage, seed).await;
    let count = rounds(3);
    for number in 0..count {
        keep.round(number).await;
        eprintln!("{} rounds, {:?} cut short, {} found half way", number + 1, keep.cut, keep.halfway);
    }
    keep.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn archiving_and_rotating_that_are_killed_anywhere_lose_nothing() {
    let seed = seed("kept");
    keep_store(TestEnv::new().await.troubled(), |_| Storage::Plain, seed).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn archiving_and_rotating_that_lose_their_power_anywhere_lose_nothing() {
    let seed = seed("kept without power");
    let drops = |env: &TestEnv| Storage::Drops(Arc::new(Disk::under(&env.store())));
    keep_store(TestEnv::new().await.troubled(), drops, seed).await;
}
