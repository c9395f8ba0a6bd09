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
        archive::Archive,
        checkpoint::{self, SigningKey},
    },
    domain::audit::{Act, Entry, Event},
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
    world::World,
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

fn key_file(world: &World) -> PathBuf {
    checkpoint::key_beside(&world.store().join("logkey.db"))
}

fn keys(world: &World) -> Vec<String> {
    SigningKey::open(&key_file(world), "logkey").unwrap().verifiers()
}

/// Writes events as the service does, while it does not run.
async fn fill(world: &World, count: usize) {
    let store = store::open(&store::Config { url: world.url() }).await.unwrap();
    let clock = Arc::new(SystemClock);
    let journal = Arc::new(Journal::start(Arc::clone(&store.events), clock, audit::Config::default()));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (journal, event) = (Arc::clone(&journal), Event::of_service(Act::Reload, SystemClock.now()));
        writers.spawn(async move { journal.commit(Entry::only(event)).await.unwrap() });
    }
    writers.join_all().await;
    journal.close().await;
    drop((journal, store));
    // Its connections are closed by threads of their own.
    let is_open = |entry: std::io::Result<fs::DirEntry>| {
        entry.and_then(|entry| fs::read_link(entry.path())).is_ok_and(|file| file.starts_with(world.store()))
    };
    until("the end of the store", async || !fs::read_dir("/proc/self/fd").unwrap().any(is_open)).await;
}

/// The first row, the last, and how many there are.
async fn rows(world: &World) -> (i64, i64, i64) {
    let options = SqliteConnectOptions::new().filename(world.store().join("logkey.db")).read_only(true);
    let mut file = options.connect().await.unwrap();
    let query = "SELECT coalesce(min(seq), 1), coalesce(max(seq), 0), count(*) FROM event";
    let row = sqlx::query(query).fetch_one(&mut file).await.unwrap();
    file.close().await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

// === impl Marks ===

impl Marks {
    async fn of(world: &World) -> Self {
        let files = fs::read_dir(world.archive().join("tile/entries")).map_or(0, Iterator::count);
        let checkpoint = fs::read_to_string(world.archive().join("checkpoint")).ok();
        Self { files, checkpoint, first: rows(world).await.0 }
    }

    async fn passed(&self, point: Point, world: &World) -> bool {
        let now = Self::of(world).await;
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
    async fn begin(world: World, storage: impl FnOnce(&World) -> Storage, seed: u64) -> Self {
        fill(&world, MORE).await;
        let storage = storage(&world);
        let run = Run::new(world, storage, seed);
        let load = Load::start(&run.world, CALLERS, seed);
        let (keys, takes) = (Vec::new(), Duration::from_millis(300));
        Self { run, load, keys, takes, cut: (0, 0), halfway: 0 }
    }

    fn command(&self, verb: &[&str]) -> std::process::Command {
        let mut command = logkey(&[&["audit"], verb].concat());
        command.arg("--config").arg(self.run.world.config()).envs(self.run.storage.environment());
        command
    }

    fn archive(&self) -> std::process::Command {
        let mut command = self.command(&["archive", "--older-than", "0s"]);
        command.arg("--out").arg(self.run.world.archive());
        command
    }

    /// Runs a command to its end.
    async fn whole(&mut self, mut command: std::process::Command) -> (Option<i32>, String) {
        let began = Instant::now();
        let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        self.takes = began.elapsed();
        let Output { status, stdout, stderr } = done;
        (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
    }

    /// Runs a command and kills it; tells whether it had not ended by then.
    async fn cut_short(&mut self, mut command: std::process::Command, point: Point) -> bool {
        let before = Marks::of(&self.run.world).await;
        let errors = fs::File::create(self.run.world.path("stderr-of-command")).unwrap();
        let mut child = command.stdout(errors.try_clone().unwrap()).stderr(errors).spawn().unwrap();
        let most = if point == Point::Start { self.takes } else { self.takes / 8 };
        until("its end, or the point at which it is killed", async || {
            child.try_wait().unwrap().is_some() || before.passed(point, &self.run.world).await
        })
        .await;
        tokio::time::sleep(most.mul_f64(self.run.rng.random_range(0.0..1.0))).await;
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        !ended
    }

    /// Every event is in the store or in the archive, and where it is in both it is the same; and what
    /// is signed says so, with the archive and without.
    async fn nothing_is_lost(&mut self) {
        let world = &self.run.world;
        let held = Archive::open(&world.archive()).ok();
        let last = held.as_ref().map_or(0, |archive| i64::try_from(archive.size()).unwrap());
        let (first, newest, count) = rows(world).await;
        assert_eq!(count, newest - first + 1, "events {first} to {newest}");
        assert!(first <= last + 1, "events {last} to {first} are neither in the archive nor in the store");
        if let Some(archive) = held.filter(|_| first <= last) {
            self.halfway += 1;
            let store = store::open_reader(&store::Config { url: world.url() }).await.unwrap();
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
        let told = log::audit(world, &["verify"]);
        assert_eq!(told.0, Some(if first > 1 { 2 } else { 0 }), "{}", told.1);
        if last > 0 {
            let told = log::audit(world, &["verify", "--archive", world.archive().to_str().unwrap()]);
            assert_eq!(told.0, Some(0), "{}", told.1);
        }
    }

    /// A new key is put in place beside the running service, or that is killed half way.
    async fn rotate_beside(&mut self, process: &Process) {
        let before = keys(&self.run.world);
        self.cut.0 += usize::from(self.cut_short(self.command(ROTATE), Point::Start).await);
        let after = keys(&self.run.world);
        assert!(after == before || after[1..] == before, "{before:?}, then {after:?}");
        if self.run.rng.random() {
            process.signal("-HUP");
        }
    }

    /// The same again, and to its end: the new key signs, and no second new one was made.
    async fn rotate(&mut self) {
        let before = keys(&self.run.world);
        let (code, told) = self.whole(self.command(ROTATE)).await;
        let signs = told.contains("still holds the key before it");
        assert!(code == Some(0) || (code == Some(1) && signs), "{told}");
        let after = keys(&self.run.world);
        assert_eq!(after.len(), 2);
        assert!(after == before || after[1..] == before, "{before:?}, then {after:?}");
        assert!(code == Some(1) || told.contains(&after[0]), "{told}");
    }

    /// The old key is retired, or that is killed half way and done again.
    async fn end_rotation(&mut self) {
        let before = keys(&self.run.world);
        self.cut.0 += usize::from(self.cut_short(self.command(END), Point::Start).await);
        self.run.lose().await;
        let (code, told) = self.whole(self.command(END)).await;
        assert_eq!(code, Some(0), "{told}");
        assert_eq!(keys(&self.run.world), before[..1]);
        self.keys.push(before[0].clone());
    }

    async fn round(&mut self, number: u32) {
        let process = self.run.start().await;
        if self.keys.is_empty() {
            self.keys = keys(&self.run.world);
        }
        self.load.goes_on(20).await;
        let (code, told) = self.whole(self.archive()).await;
        assert!(code == Some(1) && told.contains("in use by another process"), "{told}");
        self.rotate_beside(&process).await;
        let moment = self.run.moment(0..400);
        self.run.kill(process, moment).await;
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
            let (code, told) = self.whole(self.archive()).await;
            assert_eq!(code, Some(0), "{told}");
            let held = Archive::open(&self.run.world.archive()).map_or(0, |archive| archive.size());
            assert_eq!(u64::try_from(rows(&self.run.world).await.0).unwrap(), held + 1, "{told}");
        }
        self.end_rotation().await;
        self.nothing_is_lost().await;
    }

    /// Whoever kept any of the keys follows the log to its end, and every event of it can be joined.
    async fn finish(mut self) {
        let process = self.run.start().await;
        self.run.answers = self.load.stop().await;
        assert!(process.terminate().await.success());
        let world = Arc::clone(&self.run.world);
        let archive = world.archive();
        for known in &self.keys {
            let verify = ["verify", "--verifier", known, "--archive", archive.to_str().unwrap()];
            let (code, told) = log::audit(&world, &verify);
            assert_eq!(code, Some(0), "from {known}: {told}");
        }
        let named: Vec<_> = log::export(&world).into_iter().filter_map(|event| event.rotated).collect();
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
        let joined = self.run.join().await.unwrap_or_else(|flaws| panic!("{flaws:#?}"));
        assert!(joined.made > 0 && rotations + archivings > 0, "{joined:?}");
    }
}

async fn kept(world: World, storage: impl FnOnce(&World) -> Storage, seed: u64) {
    let mut keep = Keep::begin(world, storage, seed).await;
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
    kept(World::new().await.troubled(), |_| Storage::Plain, seed).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn archiving_and_rotating_that_lose_their_power_anywhere_lose_nothing() {
    let seed = seed("kept without power");
    let drops = |world: &World| Storage::Drops(Arc::new(Disk::under(&world.store())));
    kept(World::new().await.troubled(), drops, seed).await;
}
