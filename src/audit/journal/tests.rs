use std::{
    collections::VecDeque,
    sync::{
        Mutex as Shared,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;

use super::*;
use crate::{
    domain::{
        audit::{Act, Actor, End},
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

/// Keeps batches in memory, and fails as it is told.
struct FakeStore {
    kept: Shared<Vec<Vec<(EventId, &'static str)>>>,
    next: Shared<VecDeque<Next>>,
    /// One permit an append, so that a test can hold them.
    gate: Semaphore,
    /// How many recoveries fail before one succeeds.
    broken: AtomicUsize,
    tried: AtomicUsize,
}

impl FakeStore {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            kept: Shared::default(),
            next: Shared::default(),
            gate: Semaphore::new(1 << 20),
            broken: AtomicUsize::new(0),
            tried: AtomicUsize::new(0),
        })
    }

    fn fails(&self, next: impl IntoIterator<Item = Next>) {
        self.next.lock().unwrap().extend(next);
    }

    fn kinds(&self) -> Vec<Vec<&'static str>> {
        let kept = self.kept.lock().unwrap();
        kept.iter().map(|batch| batch.iter().map(|(_, kind)| *kind).collect()).collect()
    }
}

fn broken() -> Unavailable {
    Unavailable { dependency: "fake", source: None }
}

#[async_trait]
impl EventStore for FakeStore {
    async fn append(&self, batch: Arc<Batch>) -> Result<Option<u64>, AppendError> {
        self.gate.acquire().await.unwrap().forget();
        let next = self.next.lock().unwrap().pop_front();
        let keep = || {
            let batch = batch.events.iter().map(|event| (event.id, event.kind)).collect();
            self.kept.lock().unwrap().push(batch);
        };
        match next {
            None => {
                keep();
                Ok(None)
            }
            Some(Next::Refused) => Err(AppendError::NotKept(broken())),
            Some(Next::Vanished) => Err(AppendError::Doubtful(broken())),
            Some(Next::Unsure) => {
                keep();
                Err(AppendError::Doubtful(broken()))
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
        let kept = self.kept.lock().unwrap();
        Ok(kept.iter().flatten().any(|(id, _)| Some(*id) == doubtful))
    }
}

fn journal(store: &Arc<FakeStore>) -> Arc<Journal> {
    let store: Arc<dyn EventStore> = Arc::clone(store) as _;
    Arc::new(Journal::start(store, Arc::new(Noon), Config::default()))
}

fn entry(kind: Kind) -> Entry {
    let event = Event { kind, ..Event::of_service(Act::Start, Noon.now()) };
    Entry::only(event)
}

fn refusal(last: u8) -> Event {
    let end = End { failure: Some(Reason::TokenInvalid), aws_error: None, latency: Duration::ZERO };
    Event {
        kind: Kind::Refusal,
        actor: Actor { source: Some([192, 0, 2, last].into()), ..Actor::default() },
        end: Some(end),
        ..Event::of_service(Act::Start, Noon.now())
    }
}

fn commit(journal: &Arc<Journal>, kind: Kind) -> tokio::task::JoinHandle<Result<EventId, AuditUnavailable>> {
    let journal = Arc::clone(journal);
    tokio::spawn(async move { journal.commit(entry(kind)).await })
}

/// Lets every task run until it waits.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_while_a_commit_runs_goes_into_the_next_one() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let journal = journal(&store);
    let first = commit(&journal, Kind::Intent);
    settle().await;
    let rest: Vec<_> = (0..64).map(|_| commit(&journal, Kind::Intent)).collect();
    settle().await;
    store.gate.add_permits(2);
    let mut ids = vec![first.await.unwrap().unwrap()];
    for waiting in rest {
        ids.push(waiting.await.unwrap().unwrap());
    }
    assert_eq!(store.kinds().iter().map(Vec::len).collect::<Vec<_>>(), [1, 64]);
    assert!(ids.is_sorted(), "ids ascend in the order of the log");
}

#[tokio::test(start_paused = true)]
async fn whoever_a_commit_lets_go_on_is_in_the_next_one() {
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
    settle().await;
    let other = commit(&journal, Kind::Intent);
    settle().await;
    store.gate.add_permits(3);
    both.await.unwrap();
    other.await.unwrap().unwrap();
    assert_eq!(store.kinds(), [vec!["intent"], vec!["intent", "outcome"]]);
}

#[tokio::test(start_paused = true)]
async fn many_are_kept_in_two_groups_so_that_one_is_answered_while_the_store_is_at_the_other() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let journal = journal(&store);
    let all: Vec<_> = (0..64).map(|_| commit(&journal, Kind::Intent)).collect();
    settle().await;
    store.gate.add_permits(1);
    settle().await;
    assert_eq!(all.iter().filter(|waiting| waiting.is_finished()).count(), 32);
    store.gate.add_permits(1);
    for waiting in all {
        waiting.await.unwrap().unwrap();
    }
    assert_eq!(store.kinds().iter().map(Vec::len).collect::<Vec<_>>(), [32, 32]);
}

#[tokio::test(start_paused = true)]
async fn what_was_ready_behind_a_commit_that_failed_is_refused_or_comes_after_it() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let journal = journal(&store);
    let first = commit(&journal, Kind::Outcome);
    settle().await;
    let behind: Vec<_> =
        (0..20).map(|n| commit(&journal, if n % 2 == 0 { Kind::Intent } else { Kind::Outcome })).collect();
    settle().await;
    store.fails([Next::Refused]);
    store.gate.add_permits(8);
    let mut ids = vec![first.await.unwrap().unwrap()];
    for (n, waiting) in behind.into_iter().enumerate() {
        let ended = waiting.await.unwrap();
        assert_eq!(ended.is_ok(), n % 2 == 1, "{n}");
        ids.extend(ended);
    }
    let kept = store.kept.lock().unwrap().concat();
    assert_eq!(kept.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids, "each once, in its order");
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_told_and_the_next_one_succeeds() {
    let store = FakeStore::new();
    store.fails([Next::Refused]);
    store.broken.store(3, Ordering::SeqCst);
    let journal = journal(&store);
    assert!(commit(&journal, Kind::Intent).await.unwrap().is_err());
    settle().await;
    assert!(journal.unready().is_some());
    assert!(journal.commit(entry(Kind::Intent)).await.is_err(), "refused at once while the store fails");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(journal.unready(), None);
    assert!(commit(&journal, Kind::Intent).await.unwrap().is_ok());
    assert_eq!(store.kinds(), [["intent"]]);
    assert_eq!(store.tried.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_stays_until_it_is_written_also_when_nobody_waits_any_more() {
    let store = FakeStore::new();
    store.fails([Next::Refused, Next::Vanished]);
    let journal = journal(&store);
    let waiting = commit(&journal, Kind::Outcome);
    settle().await;
    waiting.abort();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(store.kinds(), [["outcome"]]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_was_kept_in_spite_of_an_error_is_neither_lost_nor_doubled() {
    let store = FakeStore::new();
    store.fails([Next::Unsure]);
    let journal = journal(&store);
    let (intent, outcome) = (commit(&journal, Kind::Intent), commit(&journal, Kind::Outcome));
    assert!(intent.await.unwrap().is_ok());
    assert!(outcome.await.unwrap().is_ok());
    assert_eq!(store.kinds().concat(), ["intent", "outcome"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_turns_readiness_and_refuses_what_is_not_in_it_yet() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let journal = journal(&store);
    let held = commit(&journal, Kind::Intent);
    settle().await;
    let queued = commit(&journal, Kind::Intent);
    let outcome = commit(&journal, Kind::Outcome);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(journal.unready().is_some());
    assert!(queued.await.unwrap().is_err());
    assert!(journal.commit(entry(Kind::Intent)).await.is_err());
    store.gate.add_permits(8);
    assert!(held.await.unwrap().is_ok());
    assert!(outcome.await.unwrap().is_ok());
    assert_eq!(journal.unready(), None);
    assert_eq!(store.kinds().concat(), ["intent", "outcome"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_has_a_bound_and_what_aws_has_done_is_taken_beyond_it() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let config = Config { queue: 4, batch: 2, ..Config::default() };
    let events: Arc<dyn EventStore> = Arc::clone(&store) as _;
    let journal = Arc::new(Journal::start(events, Arc::new(Noon), config));
    let mut intents = Vec::new();
    for _ in 0..3 {
        intents.extend((0..100).map(|_| commit(&journal, Kind::Intent)));
        settle().await;
    }
    // Two at the store, two made ready, four in the queue; all others were told at once.
    assert_eq!(intents.iter().filter(|intent| !intent.is_finished()).count(), 8);
    let outcome = commit(&journal, Kind::Outcome);
    settle().await;
    assert!(!outcome.is_finished());
    store.gate.add_permits(1 << 20);
    outcome.await.unwrap().unwrap();
    let mut kept = 0;
    for intent in intents {
        kept += usize::from(intent.await.unwrap().is_ok());
    }
    assert_eq!((kept, store.kinds().concat().len()), (8, 9));
}

#[tokio::test(start_paused = true)]
async fn an_intent_that_nobody_waits_for_any_more_is_not_written() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let journal = journal(&store);
    let held = commit(&journal, Kind::Read);
    settle().await;
    let gone = commit(&journal, Kind::Intent);
    settle().await;
    gone.abort();
    settle().await;
    store.gate.add_permits(8);
    held.await.unwrap().unwrap();
    journal.close().await;
    assert_eq!(store.kinds().concat(), ["read"]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_equal_refusals_becomes_a_few_events_and_a_count() {
    let store = FakeStore::new();
    let journal = journal(&store);
    for _ in 0..10_000 {
        journal.note(refusal(1));
    }
    journal.note(refusal(2));
    tokio::time::sleep(Duration::from_secs(11)).await;
    let whole = Config::default().whole as usize;
    assert_eq!(store.kinds().concat().len(), whole + 1 + 1);
    journal.note(refusal(1));
    journal.close().await;
    assert_eq!(store.kinds().concat().len(), whole + 3, "a new window begins whole");
}

#[tokio::test(start_paused = true)]
async fn closing_writes_what_waits_and_takes_nothing_more() {
    let store = FakeStore::new();
    let journal = journal(&store);
    for _ in 0..20 {
        journal.note(refusal(1));
    }
    journal.close().await;
    assert_eq!(store.kinds().concat().len(), Config::default().whole as usize + 1);
    assert!(journal.commit(entry(Kind::Outcome)).await.is_err());
    assert!(journal.unready().is_some());
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_ever_for_a_store_that_fails() {
    let store = FakeStore::new();
    store.fails([Next::Refused]);
    store.broken.store(usize::MAX, Ordering::SeqCst);
    let journal = journal(&store);
    let waiting = commit(&journal, Kind::Outcome);
    settle().await;
    journal.close().await;
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn notes_beyond_the_bound_are_counted_and_told() {
    let store = FakeStore::new();
    store.gate.forget_permits(1 << 20);
    let small = Config { notes: 10, ..Config::default() };
    let journal = Journal::start(Arc::clone(&store) as _, Arc::new(Noon), small);
    for _ in 0..100 {
        journal.note(entry(Kind::Read).event);
    }
    store.gate.add_permits(1 << 20);
    journal.close().await;
    assert_eq!(store.kinds().concat(), [&["read"; 10][..], &["lifecycle"]].concat());
}
