//! Bulk jobs: their items, and the queue that workers share.

use std::{fs, sync::Arc, time::Duration};

use logkey::{
    domain::{
        association::{Location, Resource, Target},
        fleet::{
            BulkChange, Creator, Failure, Item, ItemEnd, ItemKey, ItemState, Job, JobId, JobSpec, JobState,
            JobStatus, KeyChoice, PauseReason, PlannedItem, Safety, Selection,
        },
        reason::Reason,
    },
    ports::bulk::{
        ClaimedLocation, CreateOutcome, ItemFilter, JobFilter, JobRequest, LocationKey, LocationPlan, NewJob,
        NewLocation, QueueStep, StepOutcome, Transition, WorkerId,
    },
    store::Store,
    testing,
};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Backend, at, id};

const LEASE: Duration = Duration::from_mins(1);

fn location(account: u64) -> Location {
    Location { account: format!("{account:012}").parse().unwrap(), region: "eu-west-1".parse().unwrap() }
}

fn planned(account: u64, name: &str, state: ItemState) -> PlannedItem {
    let failure = (state == ItemState::Blocked).then(|| Failure::new(Reason::KeyDisabled, "it is disabled"));
    let target = Target::LogGroup(name.parse().unwrap());
    PlannedItem {
        resource: Resource { location: location(account), target },
        state,
        own_key: None,
        previous_key: None,
        failure,
    }
}

fn waiting(account: u64, count: usize) -> Vec<PlannedItem> {
    (0..count).map(|n| planned(account, &format!("/app/{n:05}"), ItemState::Waiting)).collect()
}

fn new_job(tenant: &str, safety: Safety, locations: Vec<NewLocation>) -> NewJob {
    let key = KeyChoice { key: Some("alias/logs".parse().unwrap()), overrides: Vec::new() };
    let spec = JobSpec {
        selection: Selection::default(),
        change: BulkChange::SetKey(key),
        safety,
        reason: Some("ticket 1".into()),
    };
    let job = Job {
        id: JobId::new_v7(),
        creator: Creator::from(&testing::principal(tenant, &["logkey:bulk"])),
        status: JobStatus::new(true, &safety),
        spec,
        counts: logkey::domain::fleet::ItemCounts::default(),
        created: at(100),
        revert_of: None,
        rule: None,
        failure: None,
    };
    NewJob { job, locations, request: None, max_open: Some(2) }
}

fn to_plan(account: u64) -> NewLocation {
    NewLocation { location: location(account), items: None, key: None }
}

fn ready(account: u64, items: Vec<PlannedItem>) -> NewLocation {
    let key = Some(testing::KEY.parse().unwrap());
    NewLocation { location: location(account), items: Some(items), key }
}

fn worker() -> WorkerId {
    WorkerId(Uuid::new_v4())
}

/// Stores a running job with these items in one location.
async fn running(store: &Store, safety: Safety, items: Vec<PlannedItem>) -> LocationKey {
    let new = new_job("a", safety, vec![ready(1, items)]);
    assert_eq!(store.jobs.create(&new).await.unwrap(), CreateOutcome::Created);
    let status = new.job.status.planned(&safety, at(101));
    assert!(store.jobs.transition(new.job.id, &plain(status)).await.unwrap());
    LocationKey { job: new.job.id, location: 0 }
}

fn plain(status: JobStatus) -> Transition {
    Transition { status, failure: None, retries: false }
}

fn claim(at: LocationKey, claim: &[u32]) -> QueueStep {
    QueueStep { at, ended: Vec::new(), claim: claim.to_vec() }
}

fn ended(key: LocationKey, seqs: &[u32], state: ItemState) -> QueueStep {
    let end = |seq: &u32| ItemEnd {
        key: ItemKey { job: key.job, location: key.location, seq: *seq },
        state,
        failure: matches!(state, ItemState::Failed | ItemState::Unknown)
            .then(|| Failure::new(Reason::KeyNotUsable, "it cannot be used")),
        event: Some(id(7)),
        ended: at(200),
    };
    QueueStep { at: key, ended: seqs.iter().map(end).collect(), claim: Vec::new() }
}

async fn step(store: &Store, worker: WorkerId, step: QueueStep) -> StepOutcome {
    store.queue.advance(worker, Uuid::new_v4(), &[step]).await.unwrap()[0]
}

async fn job(store: &Store, id: JobId) -> Job {
    store.jobs.find(id).await.unwrap().unwrap()
}

async fn items(store: &Store, key: LocationKey, states: &[ItemState]) -> Vec<Item> {
    let filter = ItemFilter { job: key.job, states: states.to_vec(), reasons: Vec::new(), locations: None };
    store.jobs.items(&filter, None, 1000).await.unwrap()
}

pub(super) async fn a_job_is_planned_run_and_read_back(backend: Backend) {
    let store = backend.open().await;
    let new = new_job("a", Safety::default(), vec![to_plan(1), to_plan(2)]);
    let id = new.job.id;
    assert_eq!(store.jobs.create(&new).await.unwrap(), CreateOutcome::Created);
    assert_eq!(job(&store, id).await, new.job);
    let me = worker();
    store.queue.confirm(me, LEASE).await.unwrap();
    let claimed = store.queue.claim(me, 10).await.unwrap();
    assert_eq!(claimed.len(), 2);
    assert!(store.queue.claim(me, 10).await.unwrap().is_empty(), "a location is claimed once");
    let first = LocationKey { job: id, location: 0 };
    assert!(store.queue.begin_plan(me, first).await.unwrap());
    let plan = [
        planned(1, "/app/a", ItemState::Waiting),
        planned(1, "/app/b", ItemState::Unchanged),
        planned(1, "/app/c", ItemState::Blocked),
    ];
    assert_eq!(store.queue.add_items(me, first, 0, &plan).await.unwrap(), Some(3));
    let key = Some(testing::KEY.parse().unwrap());
    assert!(store.queue.finish_plan(me, first, &LocationPlan { key, failure: None }).await.unwrap());
    let failure = Failure::new(Reason::RoleNotAssumable, "install the trust policy");
    let second = LocationKey { job: id, location: 1 };
    let failed = LocationPlan { key: None, failure: Some(failure.clone()) };
    assert!(store.queue.finish_plan(me, second, &failed).await.unwrap());
    let [open] = store.queue.open_jobs().await.unwrap().try_into().unwrap();
    assert_eq!((open.to_plan, open.locations, open.failed_locations), (0, 2, 1));
    assert_eq!((open.counts.total(), open.counts.waiting), (3, 1));

    let status = open.status.planned(&open.safety, at(150));
    assert!(store.jobs.transition(id, &plain(status)).await.unwrap());
    assert!(!store.jobs.transition(id, &plain(status)).await.unwrap(), "the version is no longer the same");
    assert_eq!(step(&store, me, claim(first, &[0])).await, StepOutcome::Done);
    let [item] = store.queue.queued(first, ItemState::Running, 0, 10).await.unwrap().try_into().unwrap();
    assert_eq!((item.attempts, &item.new_key), (1, &Some(testing::KEY.parse().unwrap())));
    assert_eq!(step(&store, me, ended(first, &[0], ItemState::Succeeded)).await, StepOutcome::Done);
    let done = job(&store, id).await;
    assert_eq!((done.counts.succeeded, done.counts.open(), done.counts.total()), (1, 0, 3));
    let [a, b, c] = items(&store, first, &[]).await.try_into().unwrap();
    assert_eq!((a.state, a.event, a.ended), (ItemState::Succeeded, Some(super::id(7)), Some(at(200))));
    assert_eq!(b.state, ItemState::Unchanged);
    assert_eq!(c.failure.unwrap().reason, Box::from("KEY_DISABLED"));
    let locations = store.jobs.locations(id).await.unwrap();
    assert_eq!(locations[1].failure, Some(failure));
    assert_eq!(locations[0].counts.total(), 3);
}

pub(super) async fn a_job_pauses_above_its_failure_limit_and_not_at_it(backend: Backend) {
    let store = backend.open().await;
    let at_limit = Safety { max_failures: 2, ..Safety::default() };
    let key = running(&store, at_limit, waiting(1, 10)).await;
    let me = worker();
    store.queue.confirm(me, LEASE).await.unwrap();
    assert_eq!(store.queue.claim(me, 10).await.unwrap().len(), 1);
    assert_eq!(step(&store, me, claim(key, &[0, 1, 2])).await, StepOutcome::Done);
    step(&store, me, ended(key, &[0, 1], ItemState::Failed)).await;
    assert_eq!(job(&store, key.job).await.status.state, JobState::Running);
    step(&store, me, ended(key, &[2], ItemState::Unknown)).await;
    let paused = job(&store, key.job).await;
    assert_eq!(paused.status.pause_reason, Some(PauseReason::FailureLimit));
    assert_eq!(step(&store, me, claim(key, &[3])).await, StepOutcome::NotClaimed);
    let reasons = ItemFilter {
        job: key.job,
        states: Vec::new(),
        reasons: vec!["KEY_NOT_USABLE".into()],
        locations: None,
    };
    assert_eq!(store.jobs.items(&reasons, None, 10).await.unwrap().len(), 3);

    let resumed = paused.status.resume(&at_limit, &paused.counts, at(300)).unwrap();
    assert!(store.jobs.transition(key.job, &plain(resumed)).await.unwrap());
    assert_eq!(step(&store, me, claim(key, &[3, 4, 5])).await, StepOutcome::Done);
    step(&store, me, ended(key, &[3, 4], ItemState::Failed)).await;
    assert_eq!(job(&store, key.job).await.status.state, JobState::Running, "the count begins anew");
    step(&store, me, ended(key, &[5], ItemState::Waiting)).await;
    let retried = job(&store, key.job).await;
    assert_eq!((retried.counts.waiting, retried.counts.failures()), (5, 5));
    let status = retried.status.pause().unwrap();
    assert!(store.jobs.transition(key.job, &plain(status)).await.unwrap());
    let status = status.retry(&at_limit, at(400)).unwrap();
    let retry = Transition { status, failure: None, retries: true };
    assert!(store.jobs.transition(key.job, &retry).await.unwrap());
    assert_eq!(job(&store, key.job).await.counts.waiting, 10);
    let all = items(&store, key, &[ItemState::Waiting]).await;
    assert!(all.len() == 10 && all.iter().all(|item| item.failure.is_none() && item.ended.is_none()));
}

pub(super) async fn a_canary_is_never_exceeded(backend: Backend) {
    let store = backend.open().await;
    let safety = Safety { canary: 2, ..Safety::default() };
    let new = new_job("a", safety, vec![ready(1, waiting(1, 5)), ready(2, waiting(2, 5))]);
    store.jobs.create(&new).await.unwrap();
    let status = new.job.status.planned(&safety, at(101));
    store.jobs.transition(new.job.id, &plain(status)).await.unwrap();
    let (one, two) =
        (LocationKey { job: new.job.id, location: 0 }, LocationKey { job: new.job.id, location: 1 });
    let me = worker();
    store.queue.confirm(me, LEASE).await.unwrap();
    assert_eq!(store.queue.claim(me, 10).await.unwrap().len(), 2);
    let claims = [claim(one, &[0]), claim(two, &[0, 1])];
    let outcomes = store.queue.advance(me, Uuid::new_v4(), &claims).await.unwrap();
    assert_eq!(outcomes, [StepOutcome::Done, StepOutcome::NotClaimed], "all items of a step or none");
    assert_eq!(step(&store, me, claim(two, &[0])).await, StepOutcome::Done);
    assert_eq!(step(&store, me, claim(one, &[1])).await, StepOutcome::NotClaimed);
    step(&store, me, ended(one, &[0], ItemState::Failed)).await;
    assert_eq!(step(&store, me, claim(two, &[1])).await, StepOutcome::Done, "a failure frees its place");
    step(&store, me, ended(two, &[0, 1], ItemState::Succeeded)).await;
    let paused = job(&store, new.job.id).await;
    assert_eq!(paused.status.pause_reason, Some(PauseReason::Canary));
    let resumed = paused.status.resume(&safety, &paused.counts, at(300)).unwrap();
    store.jobs.transition(new.job.id, &plain(resumed)).await.unwrap();
    assert_eq!(step(&store, me, claim(one, &[1, 2, 3, 4])).await, StepOutcome::Done);
}

pub(super) async fn a_worker_without_a_claim_changes_nothing(backend: Backend) {
    let store = backend.open().await;
    let key = running(&store, Safety::default(), waiting(1, 3)).await;
    let (old, new) = (worker(), worker());
    store.queue.confirm(old, Duration::ZERO).await.unwrap();
    assert_eq!(store.queue.claim(old, 10).await.unwrap().len(), 1);
    assert_eq!(step(&store, old, claim(key, &[0])).await, StepOutcome::Done);
    store.queue.confirm(new, LEASE).await.unwrap();
    let [taken] = store.queue.claim(new, 10).await.unwrap().try_into().unwrap();
    assert_eq!((taken.key, taken.location.counts.running), (key, 1));
    assert_eq!(step(&store, old, ended(key, &[0], ItemState::Succeeded)).await, StepOutcome::ClaimLost);
    assert_eq!(step(&store, old, claim(key, &[1])).await, StepOutcome::ClaimLost);
    assert!(!store.queue.begin_plan(old, key).await.unwrap());
    assert_eq!(store.queue.add_items(old, key, 3, &waiting(1, 1)).await.unwrap(), None);
    let counts = job(&store, key.job).await.counts;
    assert_eq!((counts.running, counts.waiting, counts.total()), (1, 2, 3));
    assert_eq!(step(&store, new, ended(key, &[0], ItemState::Succeeded)).await, StepOutcome::Done);
    store.queue.release(new, key).await.unwrap();
    assert_eq!(store.queue.claim(new, 10).await.unwrap().len(), 1, "released work can be claimed again");
}

/// Workers claim, store and give up locations of the same jobs at the same time, as replicas do whose leases end.
pub(super) async fn workers_that_claim_and_store_at_the_same_time_do_every_item_once(backend: Backend) {
    let store = Arc::new(backend.open().await);
    let locations = (1..=8).map(|account| ready(account, waiting(account, 30))).collect::<Vec<_>>();
    let mut ids = Vec::new();
    for tenant in ["a", "b"] {
        let new = new_job(tenant, Safety::default(), locations.clone());
        assert_eq!(store.jobs.create(&new).await.unwrap(), CreateOutcome::Created);
        let status = new.job.status.planned(&Safety::default(), at(101));
        assert!(store.jobs.transition(new.job.id, &plain(status)).await.unwrap());
        ids.push(new.job.id);
    }
    let mut workers = JoinSet::new();
    let single = worker();
    for _ in 0..4 {
        let store = Arc::clone(&store);
        workers.spawn(async move {
            let me = if store.queue.is_single_node() { single } else { worker() };
            while store.queue.open_jobs().await.unwrap().iter().any(|job| job.counts.open() > 0) {
                store.queue.confirm(me, LEASE).await.unwrap();
                let claimed = store.queue.claim(me, 3).await.unwrap();
                for _ in 0..3 {
                    let mut steps = Vec::new();
                    // In another order than the one in which the locations were claimed.
                    for ClaimedLocation { key, .. } in claimed.iter().rev() {
                        let running = store.queue.queued(*key, ItemState::Running, 0, 10).await.unwrap();
                        let seqs: Vec<u32> = running.iter().map(|item| item.key.seq).collect();
                        let waiting = store.queue.queued(*key, ItemState::Waiting, 0, 7).await.unwrap();
                        let claim = waiting.iter().map(|item| item.key.seq).collect();
                        steps.push(QueueStep { claim, ..ended(*key, &seqs, ItemState::Succeeded) });
                    }
                    let outcomes = store.queue.advance(me, Uuid::new_v4(), &steps).await.unwrap();
                    assert!(outcomes.iter().all(|outcome| *outcome == StepOutcome::Done), "{outcomes:?}");
                }
                for ClaimedLocation { key, .. } in claimed {
                    store.queue.release(me, key).await.unwrap();
                }
            }
        });
    }
    workers.join_all().await;
    for id in ids {
        assert_eq!(job(&store, id).await.counts.succeeded, 240);
        let filter = ItemFilter { job: id, states: Vec::new(), reasons: Vec::new(), locations: None };
        let items = store.jobs.items(&filter, None, 1000).await.unwrap();
        assert!(items.iter().all(|item| item.attempts == 1), "{items:?}");
    }
}

pub(super) async fn a_step_that_is_stored_again_changes_nothing(backend: Backend) {
    let store = backend.open().await;
    let key = running(&store, Safety::default(), waiting(1, 6)).await;
    let me = worker();
    store.queue.confirm(me, LEASE).await.unwrap();
    store.queue.claim(me, 10).await.unwrap();
    step(&store, me, claim(key, &[0, 1])).await;
    let both = QueueStep { claim: vec![2, 3], ..ended(key, &[0, 1], ItemState::Succeeded) };
    let token = Uuid::new_v4();
    assert_eq!(
        store.queue.advance(me, token, std::slice::from_ref(&both)).await.unwrap(),
        [StepOutcome::Done]
    );
    store.queue.advance(me, token, &[both]).await.unwrap();
    let counts = job(&store, key.job).await.counts;
    assert_eq!((counts.succeeded, counts.running, counts.waiting), (2, 2, 2));
    let running = store.queue.queued(key, ItemState::Running, 0, 10).await.unwrap();
    assert!(running.len() == 2 && running.iter().all(|item| item.attempts == 1), "{running:?}");
}

pub(super) async fn work_is_claimed_from_all_tenants_in_turn(backend: Backend) {
    let store = backend.open().await;
    for tenant in ["a", "b"] {
        let new = new_job(tenant, Safety::default(), (1..=20).map(to_plan).collect());
        store.jobs.create(&new).await.unwrap();
    }
    let me = worker();
    store.queue.confirm(me, LEASE).await.unwrap();
    let claimed = store.queue.claim(me, 10).await.unwrap();
    let first = claimed[0].key.job;
    assert_eq!(claimed.iter().filter(|claimed| claimed.key.job == first).count(), 5);
}

pub(super) async fn a_request_creates_one_job_and_tenants_have_a_limit(backend: Backend) {
    let store = backend.open().await;
    let request = |fingerprint: &str, since| JobRequest {
        id: Uuid::from_u128(1),
        fingerprint: fingerprint.into(),
        since: at(since),
    };
    let with =
        |request| NewJob { request: Some(request), ..new_job("a", Safety::default(), vec![to_plan(1)]) };
    let first = with(request("one", 0));
    assert_eq!(store.jobs.create(&first).await.unwrap(), CreateOutcome::Created);
    assert_eq!(
        store.jobs.create(&with(request("one", 0))).await.unwrap(),
        CreateOutcome::Exists(first.job.id)
    );
    assert_eq!(store.jobs.create(&with(request("two", 0))).await.unwrap(), CreateOutcome::RequestIdReused);
    let later = with(request("two", 101));
    assert_eq!(store.jobs.create(&later).await.unwrap(), CreateOutcome::Created, "it is forgotten by then");
    let third = new_job("a", Safety::default(), vec![to_plan(1)]);
    assert_eq!(store.jobs.create(&third).await.unwrap(), CreateOutcome::TooManyOpen);
    let other = new_job("b", Safety::default(), vec![to_plan(1)]);
    assert_eq!(store.jobs.create(&other).await.unwrap(), CreateOutcome::Created);
    let of_a = JobFilter { tenant: Some("a".parse().unwrap()), ..JobFilter::default() };
    let listed = store.jobs.list(&of_a, 10).await.unwrap();
    assert_eq!(listed.iter().map(|job| job.id).collect::<Vec<_>>(), [later.job.id, first.job.id]);
    let next = JobFilter { before: Some(later.job.id), ..of_a.clone() };
    assert_eq!(store.jobs.list(&next, 10).await.unwrap().len(), 1);
    let planned = JobFilter { states: vec![JobState::Planned], ..of_a };
    assert!(store.jobs.list(&planned, 10).await.unwrap().is_empty());
    assert_eq!(store.jobs.list(&JobFilter::default(), 10).await.unwrap().len(), 3);
}

pub(super) async fn ended_jobs_are_deleted_after_their_retention(backend: Backend) {
    let store = backend.open().await;
    let key = running(&store, Safety::default(), waiting(1, 5)).await;
    let open = running(&store, Safety::default(), waiting(1, 5)).await;
    let status = job(&store, key.job).await.status.cancel(at(500)).unwrap();
    store.jobs.transition(key.job, &plain(status)).await.unwrap();
    assert!(!store.jobs.delete_ended(at(500), 3).await.unwrap());
    assert!(store.jobs.delete_ended(at(501), 3).await.unwrap(), "it deletes in steps");
    assert!(!store.jobs.delete_ended(at(501), 3).await.unwrap());
    assert!(store.jobs.find(key.job).await.unwrap().is_none());
    assert_eq!(job(&store, open.job).await.counts.waiting, 5);
}

/// The size of a SQLite store after everything in its write-ahead log has been moved to the file.
async fn stored_bytes(backend: &Backend) -> u64 {
    let Backend::File(folder) = backend else { panic!("only a file has this size") };
    let path = folder.path().join("logkey.db");
    let mut file = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut file).await.unwrap();
    assert_eq!(busy, 0, "the checkpoint is complete");
    file.close().await.unwrap();
    fs::metadata(path).unwrap().len()
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "docs/bulk.md has these figures")]
async fn an_item_takes_at_most_400_bytes_in_sqlite() {
    const ITEMS: u32 = 10_000;
    let backend = Backend::file();
    let store = backend.open().await;
    let empty = stored_bytes(&backend).await;
    // Every item replaces another key, which is the longer row.
    let previous_key = Some(testing::OTHER_KEY.parse().unwrap());
    let items = (0..ITEMS).map(|n| PlannedItem {
        previous_key: previous_key.clone(),
        ..planned(1, &format!("/aws/lambda/team-payments/service-{n:06}"), ItemState::Waiting)
    });
    let items: Vec<_> = items.collect();
    assert!(
        items
            .iter()
            .all(|item| matches!(&item.resource.target, Target::LogGroup(name) if name.as_str().len() == 40))
    );
    let key = running(&store, Safety::default(), items).await;
    let planned = stored_bytes(&backend).await;
    let me = worker();
    store.queue.confirm(me, LEASE).await.unwrap();
    assert_eq!(store.queue.claim(me, 10).await.unwrap().len(), 1);
    let all: Vec<u32> = (0..ITEMS).collect();
    for seqs in all.chunks(500) {
        assert_eq!(step(&store, me, claim(key, seqs)).await, StepOutcome::Done);
        assert_eq!(step(&store, me, ended(key, seqs, ItemState::Succeeded)).await, StepOutcome::Done);
    }
    assert_eq!(job(&store, key.job).await.counts.succeeded, u64::from(ITEMS));
    let done = stored_bytes(&backend).await;
    let each = |bytes: u64| (bytes - empty).div_ceil(u64::from(ITEMS));
    println!("{} bytes an item when planned, {} bytes when changed", each(planned), each(done));
    assert!(each(done) <= 400, "{} bytes", each(done));
}
