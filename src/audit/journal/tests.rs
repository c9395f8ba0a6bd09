use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use parking_lot::Mutex as Shared;
use tokio::sync::Semaphore;

use super::*;
use crate::{
    audit::checkpoint::SigningKey,
    domain::{
        audit::{Actor, AuditOperation, Completion},
        reason::Reason,
        time::Timestamp,
    },
    ports::{AppendError, Batch, Unavailable},
};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_700_000_000)
    }
}

/// What the fake does with one append.
#[derive(Clone, Copy)]
enum Next {
    Refused,
    Unsure,
    Vanished,
}

/// Keeps batches in memory, and fails as the test configures it.
struct FakeStore {
    stored: Shared<Vec<Vec<(EventId, &'static str)>>>,
    next: Shared<VecDeque<Next>>,
    /// Each append takes one permit, so that a test can block appends.
    gate: Semaphore,
    /// How many recoveries fail before one succeeds.
    broken: AtomicUsize,
    tried: AtomicUsize,
}

impl FakeStore {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            stored: Shared::default(),
            next: Shared::default(),
            gate: Semaphore::new(1 << 20),
            broken: AtomicUsize::new(0),
            tried: AtomicUsize::new(0),
        })
    }

    fn fails(&self, next: impl IntoIterator<Item = Next>) {
        self.next.lock().extend(next);
    }

    fn kinds(&self) -> Vec<Vec<&'static str>> {
        let stored = self.stored.lock();
        stored.iter().map(|batch| batch.iter().map(|(_, kind)| *kind).collect()).collect()
    }
}

fn broken() -> Unavailable {
    Unavailable { dependency: "fake", source: None }
}

#[async_trait]
impl EventStore for FakeStore {
    async fn append(&self, batch: Arc<Batch>) -> Result<Option<u64>, AppendError> {
        self.gate.acquire().await.unwrap().forget();
        let next = self.next.lock().pop_front();
        let commit = || {
            let batch = batch.events.iter().map(|event| (event.id, event.kind)).collect();
            self.stored.lock().push(batch);
        };
        match next {
            None => {
                commit();
                Ok(None)
            }
            Some(Next::Refused) => Err(AppendError::NotWritten(broken())),
            Some(Next::Vanished) => Err(AppendError::Indeterminate(broken())),
            Some(Next::Unsure) => {
                commit();
                Err(AppendError::Indeterminate(broken()))
            }
        }
    }

    async fn recover(&self, doubtful: Option<EventId>) -> Result<bool, Unavailable> {
        self.tried.fetch_add(1, Ordering::SeqCst);
        let left = self.broken.load(Ordering::SeqCst);
        if left > 0 {
            self.broken.store(left - 1, Ordering::SeqCst);
            return Err(broken());
        }
        let stored = self.stored.lock();
        Ok(stored.iter().flatten().any(|(id, _)| Some(*id) == doubtful))
    }
}

fn tagger() -> Arc<BatchTagger> {
    BatchTagger::new(&SigningKey::from_seed(&[1; 32], "logkey.test").unwrap())
}

fn journal(store: &Arc<FakeStore>) -> Arc<Journal> {
    let store: Arc<dyn EventStore> = Arc::clone(store) as _;
    Arc::new(Journal::start(store, Arc::new(Noon), tagger(), Config::default()))
}

fn entry(kind: Kind) -> JournalEntry {
    let event = Event { kind, ..Event::for_service(AuditOperation::Start, Noon.now()) };
    JournalEntry::event_only(event)
}

fn refusal(last: u8) -> Event {
    let end = Completion { failure: Some(Reason::TokenInvalid), aws_error: None, latency: Duration::ZERO };
    Event {
        kind: Kind::Refusal,
        actor: Actor { source: Some([192, 0, 2, last].into()), ..Actor::default() },
        end: Some(end),
        ..Event::for_service(AuditOperation::Start, Noon.now())
    }
}

fn commit(journal: &Arc<Journal>, kind: Kind) -> tokio::task::JoinHandle<Result<EventId, AuditUnavailable>> {
    let journal = Arc::clone(journal);
    tokio::spawn(async move { journal.commit(entry(kind)).await })
}

/// Lets every task run until it waits.
async fn run_pending_tasks() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn entries_queued_during_a_commit_share_the_next_one() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let journal = journal(&store);
    let first = commit(&journal, Kind::Intent);
    run_pending_tasks().await;
    let rest: Vec<_> = (0..64).map(|_| commit(&journal, Kind::Intent)).collect();
    run_pending_tasks().await;
    store.gate.add_permits(2);
    let mut ids = vec![first.await.unwrap().unwrap()];
    for waiting in rest {
        ids.push(waiting.await.unwrap().unwrap());
    }
    assert_eq!(store.kinds().iter().map(Vec::len).collect::<Vec<_>>(), [1, 64]);
    assert!(ids.is_sorted(), "ids ascend in the order of the log");
}

#[tokio::test(start_paused = true)]
async fn an_answered_caller_joins_the_next_commit() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let journal = journal(&store);
    let both = {
        let journal = Arc::clone(&journal);
        tokio::spawn(async move {
            journal.commit(entry(Kind::Intent)).await.unwrap();
            journal.commit(entry(Kind::Outcome)).await.unwrap();
        })
    };
    run_pending_tasks().await;
    let other = commit(&journal, Kind::Intent);
    run_pending_tasks().await;
    store.gate.add_permits(3);
    both.await.unwrap();
    other.await.unwrap().unwrap();
    assert_eq!(store.kinds(), [vec!["intent"], vec!["intent", "outcome"]]);
}

#[tokio::test(start_paused = true)]
async fn many_entries_are_written_in_two_alternating_groups() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let journal = journal(&store);
    let all: Vec<_> = (0..64).map(|_| commit(&journal, Kind::Intent)).collect();
    run_pending_tasks().await;
    store.gate.add_permits(1);
    run_pending_tasks().await;
    assert_eq!(all.iter().filter(|waiting| waiting.is_finished()).count(), 32);
    store.gate.add_permits(1);
    for waiting in all {
        waiting.await.unwrap().unwrap();
    }
    assert_eq!(store.kinds().iter().map(Vec::len).collect::<Vec<_>>(), [32, 32]);
}

#[tokio::test(start_paused = true)]
async fn entries_behind_a_failed_commit_are_refused_or_written_after_it() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let journal = journal(&store);
    let first = commit(&journal, Kind::Outcome);
    run_pending_tasks().await;
    let behind: Vec<_> =
        (0..20).map(|n| commit(&journal, if n % 2 == 0 { Kind::Intent } else { Kind::Outcome })).collect();
    run_pending_tasks().await;
    store.fails([Next::Refused]);
    store.gate.add_permits(8);
    let mut ids = vec![first.await.unwrap().unwrap()];
    for (n, waiting) in behind.into_iter().enumerate() {
        let outcome = waiting.await.unwrap();
        assert_eq!(outcome.is_ok(), n % 2 == 1, "{n}");
        ids.extend(outcome);
    }
    let stored = store.stored.lock().concat();
    assert_eq!(stored.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids, "each once, in its order");
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_reported_and_the_next_one_succeeds() {
    let store = FakeStore::new();
    store.fails([Next::Refused]);
    store.broken.store(3, Ordering::SeqCst);
    let journal = journal(&store);
    assert!(commit(&journal, Kind::Intent).await.unwrap().is_err());
    run_pending_tasks().await;
    assert!(journal.not_ready_reason().is_some());
    assert!(journal.commit(entry(Kind::Intent)).await.is_err(), "refused at once while the store fails");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(journal.not_ready_reason(), None);
    assert!(commit(&journal, Kind::Intent).await.unwrap().is_ok());
    assert_eq!(store.kinds(), [["intent"]]);
    assert_eq!(store.tried.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_written_even_if_its_caller_has_gone() {
    let store = FakeStore::new();
    store.fails([Next::Refused, Next::Vanished]);
    let journal = journal(&store);
    let waiting = commit(&journal, Kind::Outcome);
    run_pending_tasks().await;
    waiting.abort();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(store.kinds(), [["outcome"]]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_succeeded_despite_an_error_is_written_once() {
    let store = FakeStore::new();
    store.fails([Next::Unsure]);
    let journal = journal(&store);
    let (intent, outcome) = (commit(&journal, Kind::Intent), commit(&journal, Kind::Outcome));
    assert!(intent.await.unwrap().is_ok());
    assert!(outcome.await.unwrap().is_ok());
    assert_eq!(store.kinds().concat(), ["intent", "outcome"]);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_store_makes_the_journal_unready_and_refuses_intents() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let journal = journal(&store);
    let blocked = commit(&journal, Kind::Intent);
    run_pending_tasks().await;
    let queued = commit(&journal, Kind::Intent);
    let outcome = commit(&journal, Kind::Outcome);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(journal.not_ready_reason().is_some());
    assert!(queued.await.unwrap().is_err());
    assert!(journal.commit(entry(Kind::Intent)).await.is_err());
    store.gate.add_permits(8);
    assert!(blocked.await.unwrap().is_ok());
    assert!(outcome.await.unwrap().is_ok());
    assert_eq!(journal.not_ready_reason(), None);
    assert_eq!(store.kinds().concat(), ["intent", "outcome"]);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_but_accepts_outcomes_beyond_the_bound() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let config = Config { queue: 4, batch: 2, ..Config::default() };
    let events: Arc<dyn EventStore> = Arc::clone(&store) as _;
    let journal = Arc::new(Journal::start(events, Arc::new(Noon), tagger(), config));
    let mut intents = Vec::new();
    for _ in 0..3 {
        intents.extend((0..100).map(|_| commit(&journal, Kind::Intent)));
        run_pending_tasks().await;
    }
    // Two are in the store's commit, two are prepared and four are queued. All others were refused at once.
    assert_eq!(intents.iter().filter(|intent| !intent.is_finished()).count(), 8);
    let outcome = commit(&journal, Kind::Outcome);
    run_pending_tasks().await;
    assert!(!outcome.is_finished());
    store.gate.add_permits(1 << 20);
    outcome.await.unwrap().unwrap();
    let mut stored_count = 0;
    for intent in intents {
        stored_count += usize::from(intent.await.unwrap().is_ok());
    }
    assert_eq!((stored_count, store.kinds().concat().len()), (8, 9));
}

#[tokio::test(start_paused = true)]
async fn an_intent_whose_caller_has_gone_is_not_written() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let journal = journal(&store);
    let blocked = commit(&journal, Kind::Read);
    run_pending_tasks().await;
    let gone = commit(&journal, Kind::Intent);
    run_pending_tasks().await;
    gone.abort();
    run_pending_tasks().await;
    store.gate.add_permits(8);
    blocked.await.unwrap().unwrap();
    journal.close().await;
    assert_eq!(store.kinds().concat(), ["read"]);
}

#[tokio::test(start_paused = true)]
async fn many_equal_refusals_become_a_few_events_and_a_count() {
    let store = FakeStore::new();
    let journal = journal(&store);
    for _ in 0..10_000 {
        journal.record_best_effort(refusal(1));
    }
    journal.record_best_effort(refusal(2));
    tokio::time::sleep(Duration::from_secs(11)).await;
    let whole = Config::default().whole as usize;
    assert_eq!(store.kinds().concat().len(), whole + 1 + 1);
    journal.record_best_effort(refusal(1));
    journal.close().await;
    assert_eq!(store.kinds().concat().len(), whole + 3, "a new window records its first refusal in full");
}

#[tokio::test(start_paused = true)]
async fn closing_writes_queued_entries_and_refuses_new_ones() {
    let store = FakeStore::new();
    let journal = journal(&store);
    for _ in 0..20 {
        journal.record_best_effort(refusal(1));
    }
    journal.close().await;
    assert_eq!(store.kinds().concat().len(), Config::default().whole as usize + 1);
    assert!(journal.commit(entry(Kind::Outcome)).await.is_err());
    assert!(journal.not_ready_reason().is_some());
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_forever_for_a_failing_store() {
    let store = FakeStore::new();
    store.fails([Next::Refused]);
    store.broken.store(usize::MAX, Ordering::SeqCst);
    let journal = journal(&store);
    let waiting = commit(&journal, Kind::Outcome);
    run_pending_tasks().await;
    journal.close().await;
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn notes_beyond_the_bound_are_counted_in_an_event() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let small = Config { notes: 10, ..Config::default() };
    let journal = Journal::start(Arc::clone(&store) as _, Arc::new(Noon), tagger(), small);
    for _ in 0..100 {
        journal.record_best_effort(entry(Kind::Read).event);
    }
    store.gate.add_permits(1 << 20);
    journal.close().await;
    assert_eq!(store.kinds().concat(), [&["read"; 10][..], &["lifecycle"]].concat());
}
