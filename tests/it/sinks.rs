//! Sinks of the audit log: each sink receives every event and checkpoint in order, also after failures.

mod file;
mod service;
mod stream;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use logkey::{
    audit::{
        self, Journal, Sequencer, Sinks,
        checkpoint::{self, SigningKey},
        sequencer::VerifiedSequencer,
        sinks::{EventSource, NamedSink, SinkTiming},
    },
    domain::{
        audit::{AuditOperation, Event, JournalEntry, Kind},
        time::Timestamp,
    },
    ports::{AuditLog as _, Clock, Sink, SinkError, SinkPosition, SinkRecord},
    store::{self, Store},
};
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;

const ORIGIN: &str = "logkey.test/sinks";
/// Shorter intervals than in the real service.
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

/// A log in a real file.
struct Log {
    dir: TempDir,
    store: Store,
    clock: Arc<Counting>,
}

/// A sink that records its lines. A test can make it fail, hang or accept only a few lines.
#[derive(Default)]
struct FakeSink {
    accepted_lines: Mutex<Vec<String>>,
    fails: AtomicBool,
    hangs: AtomicBool,
    /// The number of lines that it accepts at once; 0 means all.
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
        let mut accepted_lines = self.accepted_lines.lock();
        if self.fails.load(Ordering::SeqCst) {
            // A sink that fails within a batch has already written a part of it.
            accepted_lines.extend(lines.iter().take(accepted / 2).map(|line| line.text.clone()));
            return Err(SinkError::Failed("the test wants a failure".into()));
        }
        accepted_lines.extend(lines.iter().take(accepted).map(|line| line.text.clone()));
        Ok(accepted)
    }
}

impl FakeSink {
    fn accepted_lines(&self) -> Vec<String> {
        self.accepted_lines.lock().clone()
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

    /// Adds events to the log and to the tree.
    async fn grow(&self, count: usize) {
        let checked = self.check().await;
        let (clock, config) = (self.clock.clone(), audit::Config::default());
        let journal = Journal::start(Arc::clone(&self.store.events), clock, checked.tagger(), config);
        for _ in 0..count {
            let event = Event {
                kind: Kind::Lifecycle,
                ..Event::for_service(AuditOperation::Start, self.clock.now())
            };
            journal.commit(JournalEntry::event_only(event)).await.unwrap();
        }
        journal.close().await;
        checked.start().await.unwrap().close().await;
    }

    async fn check(&self) -> VerifiedSequencer {
        let path = checkpoint::default_key_path(&self.dir.path().join("logkey.db"));
        let key = SigningKey::open_or_create(&path, ORIGIN).unwrap();
        let (log, tree) = (Arc::clone(&self.store.log), Arc::clone(&self.store.tree));
        Sequencer::check(log, tree, self.clock.clone(), key).await.unwrap()
    }

    async fn worker(&self, sinks: &[(&str, Arc<dyn Sink>)]) -> Sinks {
        let named =
            sinks.iter().map(|(name, sink)| NamedSink { name: (*name).into(), sink: Arc::clone(sink) });
        let source = EventSource {
            log: Arc::clone(&self.store.log),
            archive: None,
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

    /// The sizes of the stored checkpoints.
    async fn checkpoints(&self) -> Vec<u64> {
        let positions = self.store.sinks.checkpoints(0, 1000).await.unwrap();
        positions.iter().map(|checkpoint| checkpoint.size).collect()
    }

    /// Whether these lines are complete: the first occurrences of the events are in the order of the log, and
    /// each checkpoint follows the last event that it covers.
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
                assert!(bodies.iter().take(received).any(|it| it == line), "a line out of order: {line}");
            }
        }
        received == bodies.len() && checkpoints.iter().all(|size| sizes.contains(size))
    }
}

/// The size, if the line is a checkpoint.
fn checkpoint_size(line: &str) -> Option<u64> {
    let value: Value = serde_json::from_str(line).unwrap();
    value.get("checkpoint").map(|checkpoint| {
        assert!(checkpoint["note"].as_str().unwrap().starts_with(ORIGIN));
        checkpoint["size"].as_u64().unwrap()
    })
}

/// Waits until the condition holds, and fails after a minute.
async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting).await.unwrap();
}

#[tokio::test]
async fn a_sink_receives_every_event_and_checkpoint_once_and_in_order() {
    let log = Log::new().await;
    let sink = Arc::new(FakeSink::default());
    let sinks = log.worker(&[("one", sink.clone())]).await;
    for count in [1, 700, 30] {
        log.grow(count).await;
    }
    sinks.close().await;
    let lines = sink.accepted_lines();
    assert!(log.is_whole(&lines, &[1, 701, 731]).await);
    let mut once = lines.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), lines.len(), "no line came twice");
}

#[tokio::test]
async fn after_a_failure_a_sink_receives_everything_it_missed() {
    let log = Log::new().await;
    let (sink, other) = (Arc::new(FakeSink::default()), Arc::new(FakeSink::default()));
    let sinks = log.worker(&[("one", sink.clone()), ("other", other.clone())]).await;
    log.grow(20).await;
    until(async || sink.accepted_lines().len() == 21).await;
    sink.fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        log.grow(600).await;
    }
    until(async || log.is_whole(&other.accepted_lines(), &[20, 620, 1220, 1820]).await).await;
    let requests = sink.requests.load(Ordering::SeqCst);
    until(async || sink.requests.load(Ordering::SeqCst) > requests + 3).await;
    assert!(!log.is_whole(&sink.accepted_lines(), &[]).await);
    sink.max.store(7, Ordering::SeqCst);
    sink.fails.store(false, Ordering::SeqCst);
    until(async || log.is_whole(&sink.accepted_lines(), &[20, 620, 1220, 1820]).await).await;
    sinks.close().await;
}

#[tokio::test]
async fn after_a_restart_a_sink_resumes_at_its_position() {
    let log = Log::new().await;
    let sink = Arc::new(FakeSink::default());
    let sinks = log.worker(&[("one", sink.clone())]).await;
    log.grow(100).await;
    sinks.close().await;
    let before = sink.accepted_lines().len();
    let log = log.reopen().await;
    log.grow(50).await;
    let sinks = log.worker(&[("one", sink.clone())]).await;
    sinks.close().await;
    let lines = sink.accepted_lines();
    assert_eq!(lines.len(), before + 51, "no line came again");
    assert!(log.is_whole(&lines, &[100, 150]).await);
}

#[tokio::test]
async fn after_a_kill_a_sink_may_get_lines_twice_but_misses_none() {
    let log = Log::new().await;
    let sink = Arc::new(FakeSink::default());
    sink.max.store(3, Ordering::SeqCst);
    log.grow(400).await;
    let sinks = log.worker(&[("one", sink.clone())]).await;
    until(async || sink.accepted_lines().len() > 30).await;
    // The worker ends in the middle and saves no further position.
    sink.hangs.store(true, Ordering::SeqCst);
    drop(sinks);
    sink.hangs.store(false, Ordering::SeqCst);
    let sinks = log.worker(&[("one", sink.clone())]).await;
    until(async || log.is_whole(&sink.accepted_lines(), &[400]).await).await;
    sinks.close().await;
}

#[tokio::test]
async fn a_hanging_sink_delays_neither_calls_nor_sinks_nor_the_stop() {
    let log = Log::new().await;
    let (stuck, other) = (Arc::new(FakeSink::default()), Arc::new(FakeSink::default()));
    stuck.hangs.store(true, Ordering::SeqCst);
    log.grow(1).await;
    let sinks = log.worker(&[("stuck", stuck.clone()), ("other", other.clone())]).await;
    until(async || stuck.requests.load(Ordering::SeqCst) == 1).await;
    log.grow(500).await;
    until(async || log.is_whole(&other.accepted_lines(), &[1, 501]).await).await;
    tokio::time::timeout(TIMING.close_within * 4, sinks.close()).await.unwrap();
    assert_eq!((stuck.requests.load(Ordering::SeqCst), stuck.accepted_lines().len()), (1, 0));
}

#[tokio::test]
async fn checkpoints_are_stored_until_the_slowest_sink_has_them() {
    let log = Log::new().await;
    log.grow(1).await;
    log.grow(1).await;
    assert_eq!(log.checkpoints().await, [2], "without a sink, only the last checkpoint of an hour stays");
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
    // The slow sink is no longer in the settings.
    assert_eq!(log.store.sinks.register(&names[1..]).await.unwrap(), [to(5)]);
    log.grow(1).await;
    log.grow(1).await;
    assert_eq!(log.checkpoints().await, [6, 7], "the remaining sink has neither checkpoint");
    log.store.sinks.advance("quick", to(5), to(7)).await.unwrap();
    assert_eq!(log.checkpoints().await, [7]);
}

#[tokio::test]
async fn a_sink_resumes_after_a_store_was_restored_from_an_older_copy() {
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
    until(async || sink.accepted_lines().len() == 3).await;
    assert_eq!(sink.accepted_lines()[..2], log.bodies().await[5..]);
    sinks.close().await;
}
