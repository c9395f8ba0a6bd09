//! Sinks of the audit log: each receives every event and checkpoint, in order, whatever happens to it.

mod file;
mod service;
mod stream;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use logkey::{
    audit::{
        self, Journal, Sequencer, Sinks,
        checkpoint::{self, SigningKey},
        sinks::{EventSource, NamedSink, SinkTiming},
    },
    domain::{
        audit::{AuditOperation, Event, JournalEntry, Kind},
        time::Timestamp,
    },
    ports::{AuditLog as _, Clock, Sink, SinkError, SinkPosition, SinkRecord},
    store::{self, Store},
};
use serde_json::Value;
use tempfile::TempDir;

const ORIGIN: &str = "logkey.test/sinks";
/// As in service, but quick.
const TIMING: SinkTiming = SinkTiming {
    every: Duration::from_millis(10),
    save_interval: Duration::from_millis(20),
    first_retry: Duration::from_millis(5),
    max_retry: Duration::from_millis(20),
    close_within: Duration::from_secs(5),
};

struct Counting(AtomicI64);

impl Clock for Counting {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// A log on a real file.
struct Log {
    dir: TempDir,
    store: Store,
    clock: Arc<Counting>,
}

/// A sink that remembers what it took, and fails, hangs or takes little when it is told to.
#[derive(Default)]
struct FakeSink {
    taken: Mutex<Vec<String>>,
    fails: AtomicBool,
    hangs: AtomicBool,
    /// How many lines it takes at once; 0 is all.
    max: AtomicUsize,
    requests: AtomicUsize,
}

#[async_trait]
impl Sink for FakeSink {
    async fn write(&self, lines: &[SinkRecord]) -> Result<usize, SinkError> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let accepted = match self.max.load(Ordering::SeqCst) {
            0 => lines.len(),
            max => max.min(lines.len()),
        };
        let mut taken = self.taken.lock().unwrap();
        if self.fails.load(Ordering::SeqCst) {
            // What a sink that broke off within a batch has of it.
            taken.extend(lines.iter().take(accepted / 2).map(|line| line.text.clone()));
            return Err(SinkError::Failed("as told".into()));
        }
        taken.extend(lines.iter().take(accepted).map(|line| line.text.clone()));
        Ok(accepted)
    }
}

impl FakeSink {
    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

impl Log {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Self::open(&dir).await;
        Self { dir, store, clock: Arc::new(Counting(1_700_000_000_000_000.into())) }
    }

    async fn open(dir: &TempDir) -> Store {
        let url = format!("sqlite://{}/logkey.db", dir.path().display());
        store::open(&store::Config { url }).await.unwrap()
    }

    /// Closes the store and opens it again.
    async fn reopen(self) -> Self {
        let Self { dir, store, clock } = self;
        drop(store);
        let store = Self::open(&dir).await;
        Self { dir, store, clock }
    }

    /// Adds events, and takes them into the tree.
    async fn grow(&self, count: usize) {
        let journal =
            Journal::start(Arc::clone(&self.store.events), self.clock.clone(), audit::Config::default());
        for _ in 0..count {
            let event = Event {
                kind: Kind::Lifecycle,
                ..Event::for_service(AuditOperation::Start, self.clock.now())
            };
            journal.commit(JournalEntry::event_only(event)).await.unwrap();
        }
        journal.close().await;
        self.sign().await;
    }

    async fn sign(&self) {
        let path = checkpoint::default_key_path(&self.dir.path().join("logkey.db"));
        let key = SigningKey::open_or_create(&path, ORIGIN).unwrap();
        let (log, tree) = (Arc::clone(&self.store.log), Arc::clone(&self.store.tree));
        let checked = Sequencer::check(log, tree, self.clock.clone(), key).await.unwrap();
        checked.start().await.unwrap().close().await;
    }

    async fn worker(&self, sinks: &[(&str, Arc<dyn Sink>)]) -> Sinks {
        let named =
            sinks.iter().map(|(name, sink)| NamedSink { name: (*name).into(), sink: Arc::clone(sink) });
        let source = EventSource {
            log: Arc::clone(&self.store.log),
            store: Arc::clone(&self.store.sinks),
            leadership: Arc::clone(&self.store.leadership),
            clock: self.clock.clone(),
        };
        Sinks::start(named.collect(), source, TIMING).await.unwrap()
    }

    /// The bytes of every event, in order.
    async fn bodies(&self) -> Vec<String> {
        let events = self.store.log.after(0, 100_000).await.unwrap();
        events.into_iter().map(|event| event.body).collect()
    }

    /// The sizes of the checkpoints that are kept.
    async fn checkpoints(&self) -> Vec<u64> {
        let positions = self.store.sinks.checkpoints(0, 1000).await.unwrap();
        positions.iter().map(|checkpoint| checkpoint.size).collect()
    }

    /// Whether a sink that has these lines has everything: each event, in the order of the log where
    /// each comes for the first time, and each checkpoint behind the last event that it covers.
    async fn is_whole(&self, lines: &[String], checkpoints: &[u64]) -> bool {
        let (bodies, mut received, mut sizes) = (self.bodies().await, 0, Vec::new());
        for line in lines {
            if let Some(size) = checkpoint_size(line) {
                assert!(size <= received as u64, "a checkpoint of {size} after {received} events");
                if sizes.last().is_none_or(|last| *last < size) {
                    sizes.push(size);
                }
            } else if Some(line) == bodies.get(received) {
                received += 1;
            } else {
                assert!(bodies.iter().take(received).any(|it| it == line), "a line out of turn: {line}");
            }
        }
        received == bodies.len() && checkpoints.iter().all(|size| sizes.contains(size))
    }
}

/// The size, where the line is a checkpoint.
fn checkpoint_size(line: &str) -> Option<u64> {
    let value: Value = serde_json::from_str(line).unwrap();
    value.get("checkpoint").map(|checkpoint| {
        assert!(checkpoint["note"].as_str().unwrap().starts_with(ORIGIN));
        checkpoint["size"].as_u64().unwrap()
    })
}

/// Waits for what has to come; a test that waits in vain is ended.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting).await.unwrap();
}

#[tokio::test]
async fn every_event_and_checkpoint_comes_once_and_in_order() {
    let log = Log::new().await;
    let sink = Arc::new(FakeSink::default());
    let sinks = log.worker(&[("one", sink.clone())]).await;
    for count in [1, 700, 30] {
        log.grow(count).await;
    }
    sinks.close().await;
    let lines = sink.taken();
    assert!(log.is_whole(&lines, &[1, 701, 731]).await);
    let mut once = lines.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), lines.len(), "nothing came twice");
}

#[tokio::test]
async fn a_sink_that_failed_is_given_everything_from_where_it_stopped() {
    let log = Log::new().await;
    let (sink, other) = (Arc::new(FakeSink::default()), Arc::new(FakeSink::default()));
    let sinks = log.worker(&[("one", sink.clone()), ("other", other.clone())]).await;
    log.grow(20).await;
    until(async || sink.taken().len() == 21).await;
    sink.fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        log.grow(600).await;
    }
    until(async || log.is_whole(&other.taken(), &[20, 620, 1220, 1820]).await).await;
    let requests = sink.requests.load(Ordering::SeqCst);
    until(async || sink.requests.load(Ordering::SeqCst) > requests + 3).await;
    assert!(!log.is_whole(&sink.taken(), &[]).await);
    sink.max.store(7, Ordering::SeqCst);
    sink.fails.store(false, Ordering::SeqCst);
    until(async || log.is_whole(&sink.taken(), &[20, 620, 1220, 1820]).await).await;
    sinks.close().await;
}

#[tokio::test]
async fn after_a_restart_a_sink_goes_on_from_where_it_stopped() {
    let log = Log::new().await;
    let sink = Arc::new(FakeSink::default());
    let sinks = log.worker(&[("one", sink.clone())]).await;
    log.grow(100).await;
    sinks.close().await;
    let before = sink.taken().len();
    let log = log.reopen().await;
    log.grow(50).await;
    let sinks = log.worker(&[("one", sink.clone())]).await;
    sinks.close().await;
    let lines = sink.taken();
    assert_eq!(lines.len(), before + 51, "what it had did not come again");
    assert!(log.is_whole(&lines, &[100, 150]).await);
}

#[tokio::test]
async fn a_process_that_was_killed_gives_again_what_is_not_remembered_and_leaves_nothing_out() {
    let log = Log::new().await;
    let sink = Arc::new(FakeSink::default());
    sink.max.store(3, Ordering::SeqCst);
    log.grow(400).await;
    let sinks = log.worker(&[("one", sink.clone())]).await;
    until(async || sink.taken().len() > 30).await;
    // Ended in the middle, with nothing said to the store any more.
    sink.hangs.store(true, Ordering::SeqCst);
    drop(sinks);
    sink.hangs.store(false, Ordering::SeqCst);
    let sinks = log.worker(&[("one", sink.clone())]).await;
    until(async || log.is_whole(&sink.taken(), &[400]).await).await;
    sinks.close().await;
}

#[tokio::test]
async fn a_sink_that_hangs_holds_up_neither_calls_nor_other_sinks_nor_the_end() {
    let log = Log::new().await;
    let (stuck, other) = (Arc::new(FakeSink::default()), Arc::new(FakeSink::default()));
    stuck.hangs.store(true, Ordering::SeqCst);
    log.grow(1).await;
    let sinks = log.worker(&[("stuck", stuck.clone()), ("other", other.clone())]).await;
    until(async || stuck.requests.load(Ordering::SeqCst) == 1).await;
    log.grow(500).await;
    until(async || log.is_whole(&other.taken(), &[1, 501]).await).await;
    tokio::time::timeout(TIMING.close_within * 4, sinks.close()).await.unwrap();
    assert_eq!((stuck.requests.load(Ordering::SeqCst), stuck.taken().len()), (1, 0));
}

#[tokio::test]
async fn checkpoints_wait_for_a_sink_that_is_behind_and_for_no_other() {
    let log = Log::new().await;
    log.grow(1).await;
    log.grow(1).await;
    assert_eq!(log.checkpoints().await, [2], "without a sink an hour's last one stays");
    let names = ["slow".into(), "quick".into()];
    log.store.sinks.register(&names).await.unwrap();
    let to = |at| SinkPosition { event: at, checkpoint: at };
    log.store.sinks.advance("quick", to(0), to(2)).await.unwrap();
    for _ in 0..3 {
        log.grow(1).await;
    }
    log.store.sinks.advance("quick", to(2), to(5)).await.unwrap();
    assert_eq!(log.checkpoints().await, [2, 3, 4, 5]);
    log.store.sinks.advance("slow", to(0), to(3)).await.unwrap();
    assert_eq!(log.checkpoints().await, [4, 5]);
    // The slow one is not in the settings any more.
    assert_eq!(log.store.sinks.register(&names[1..]).await.unwrap(), [to(5)]);
    log.grow(1).await;
    log.grow(1).await;
    assert_eq!(log.checkpoints().await, [6, 7], "the sink that is left has neither");
    log.store.sinks.advance("quick", to(5), to(7)).await.unwrap();
    assert_eq!(log.checkpoints().await, [7]);
}

#[tokio::test]
async fn a_store_put_back_to_an_older_copy_is_gone_on_with() {
    let log = Log::new().await;
    log.grow(5).await;
    let beyond = SinkPosition { event: 50, checkpoint: 50 };
    log.store.sinks.register(&["one".into()]).await.unwrap();
    log.store.sinks.advance("one", SinkPosition::default(), beyond).await.unwrap();
    let sink = Arc::new(FakeSink::default());
    let sinks = log.worker(&[("one", sink.clone())]).await;
    until(async || {
        log.store.sinks.register(&["one".into()]).await.unwrap() == [SinkPosition { event: 5, checkpoint: 5 }]
    })
    .await;
    log.grow(2).await;
    until(async || sink.taken().len() == 3).await;
    assert_eq!(sink.taken()[..2], log.bodies().await[5..]);
    sinks.close().await;
}
