//! The store of bulk jobs: the jobs with their items, and the queue that replicas share. SQLite and PostgreSQL
//! implement it.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::unavailable::Unavailable;
use crate::domain::{
    arn::KmsKeyArn,
    association::Location,
    fleet::{
        Failure, Item, ItemCounts, ItemEnd, ItemKey, ItemState, Job, JobId, JobLocation, JobState, JobStatus,
        PlannedItem, Safety,
    },
    tenant::TenantId,
    time::Timestamp,
};

/// Stores jobs and reads them.
#[async_trait]
pub trait BulkJobs: Send + Sync + 'static {
    /// Stores a new job, unless its request was stored before or the tenant has its maximum of open jobs.
    async fn create(&self, new: &NewJob) -> Result<CreateOutcome, Unavailable>;

    /// The job with this id.
    async fn find(&self, id: JobId) -> Result<Option<Job>, Unavailable>;

    /// At most `limit` jobs that match the filter, the newest first.
    async fn list(&self, filter: &JobFilter, limit: u32) -> Result<Vec<Job>, Unavailable>;

    /// The locations of a job, in their order.
    async fn locations(&self, id: JobId) -> Result<Vec<JobLocation>, Unavailable>;

    /// At most `limit` items of a job that match the filter and come after `after`, in their order.
    async fn items(
        &self,
        filter: &ItemFilter,
        after: Option<ItemKey>,
        limit: u32,
    ) -> Result<Vec<Item>, Unavailable>;

    /// Stores a transition of a job. Returns `false`, and stores nothing, if the job has another version than
    /// the one before `to`.
    async fn transition(&self, id: JobId, to: &Transition) -> Result<bool, Unavailable>;

    /// Deletes at most `limit` items of jobs that ended before this time, and the jobs without items. Returns
    /// whether there are more.
    async fn delete_ended(&self, before: Timestamp, limit: u32) -> Result<bool, Unavailable>;
}

/// Distributes the work of jobs between workers.
///
/// A worker claims a location of a job, and is then the only one that changes the location's items. Its claims
/// end when it does not confirm them for the time of its lease; another worker then claims the location, and
/// decides what became of the items that were running.
#[async_trait]
pub trait BulkQueue: Send + Sync + 'static {
    /// Whether only this process can have claims, so that a claim from before its start has ended.
    fn is_single_node(&self) -> bool;

    /// Confirms the claims of the worker for the time of the lease. With a single process, ends the claims of
    /// every other worker.
    async fn confirm(&self, worker: WorkerId, lease: Duration) -> Result<(), Unavailable>;

    /// Claims at most `limit` locations that have work, those of tenants with few claims first.
    async fn claim(&self, worker: WorkerId, limit: u32) -> Result<Vec<ClaimedLocation>, Unavailable>;

    /// Gives up the claim of a location.
    async fn release(&self, worker: WorkerId, at: LocationKey) -> Result<(), Unavailable>;

    /// Deletes the items of a location before it is planned again.
    async fn begin_plan(&self, worker: WorkerId, at: LocationKey) -> Result<bool, Unavailable>;

    /// Adds items to a location, numbered from `first`. Returns the number of all items of the job, or `None`,
    /// and adds nothing, if the worker has lost the claim.
    async fn add_items(
        &self,
        worker: WorkerId,
        at: LocationKey,
        first: u32,
        items: &[PlannedItem],
    ) -> Result<Option<u64>, Unavailable>;

    /// Stores the end of the plan of a location. Returns `false` if the worker has lost the claim.
    async fn finish_plan(
        &self,
        worker: WorkerId,
        at: LocationKey,
        plan: &LocationPlan,
    ) -> Result<bool, Unavailable>;

    /// The items of a location in this state, from this number on, in their order.
    async fn queued(
        &self,
        at: LocationKey,
        state: ItemState,
        from: u32,
        limit: u32,
    ) -> Result<Vec<Item>, Unavailable>;

    /// Stores the ends of items and claims further items, for several locations at once, each at most once.
    /// Pauses a job in which too many items failed or whose canary succeeded. Returns for each step whether its
    /// items were claimed. After an error the same steps can be stored again with the same token: what was stored
    /// is not stored twice.
    async fn advance(
        &self,
        worker: WorkerId,
        token: Uuid,
        steps: &[QueueStep],
    ) -> Result<Vec<StepOutcome>, Unavailable>;

    /// Every job that has not ended, in no particular order.
    async fn open_jobs(&self) -> Result<Vec<OpenJob>, Unavailable>;
}

/// The id of a process for the queue. Each start has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerId(pub Uuid);

/// A location of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocationKey {
    /// The job.
    pub job: JobId,
    /// The number of the location in the job.
    pub location: u32,
}

/// A job to store.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The job, without items.
    pub job: Job,
    /// The locations of the job, in their order.
    pub locations: Vec<NewLocation>,
    /// The request that creates the job, if it can be repeated.
    pub request: Option<JobRequest>,
    /// How many open jobs the tenant may have. `None` is no limit.
    pub max_open: Option<u32>,
}

/// A location of a job to store.
#[derive(Clone, Debug)]
pub struct NewLocation {
    /// The account and Region.
    pub location: Location,
    /// The items, if they are planned already. Otherwise the location has to be planned.
    pub items: Option<Vec<PlannedItem>>,
    /// The key of the items.
    pub key: Option<KmsKeyArn>,
}

/// A request that creates a job, by its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    /// The caller's `request_id`.
    pub id: Uuid,
    /// The hash of what the request asks for.
    pub fingerprint: Box<str>,
    /// Requests before this time are forgotten.
    pub since: Timestamp,
}

/// What became of a job to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateOutcome {
    /// The job is stored.
    Created,
    /// The same request created this job before.
    Exists(JobId),
    /// A different request with the same idempotency key created a job before.
    RequestIdReused,
    /// The tenant has its maximum of open jobs.
    TooManyOpen,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Jobs of this tenant.
    pub tenant: Option<TenantId>,
    /// Jobs in one of these states. Empty is every state.
    pub states: Vec<JobState>,
    /// Jobs that were created before this one.
    pub before: Option<JobId>,
}

/// Which items to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFilter {
    /// Items of this job.
    pub job: JobId,
    /// Items in one of these states. Empty is every state.
    pub states: Vec<ItemState>,
    /// Items with one of these reasons. Empty is every item.
    pub reasons: Vec<Box<str>>,
    /// Items in one of these locations of the job. `None` is every location.
    pub locations: Option<Vec<u32>>,
}

/// A transition of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The status after the transition. Its version is one more than before.
    pub status: JobStatus,
    /// Why the job failed.
    pub failure: Option<Failure>,
    /// Whether failed and unknown items wait again, and locations that could not be entered are planned again.
    pub retries: bool,
}

/// A location that a worker has claimed.
#[derive(Clone, Debug)]
pub struct ClaimedLocation {
    /// The location of the job.
    pub key: LocationKey,
    /// Its state.
    pub location: JobLocation,
}

/// The plan of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationPlan {
    /// The key of the items.
    pub key: Option<KmsKeyArn>,
    /// Why the location cannot be entered.
    pub failure: Option<Failure>,
}

/// What a worker did and will do in one location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStep {
    /// The location.
    pub at: LocationKey,
    /// The items that ended.
    pub ended: Vec<ItemEnd>,
    /// The numbers of the items to claim. All of them are claimed or none.
    pub claim: Vec<u32>,
}

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// The items are claimed, or the step has none to claim.
    Done,
    /// No item is claimed, because the job does not run or its canary allows no further item.
    NotClaimed,
    /// The worker has lost the claim of the location. Nothing of the step is stored.
    ClaimLost,
}

/// A job that has not ended, without its specification.
#[derive(Clone, Debug)]
pub struct OpenJob {
    /// The job's id.
    pub id: JobId,
    /// The tenant.
    pub tenant: TenantId,
    /// The state.
    pub status: JobStatus,
    /// The limits of the job.
    pub safety: Safety,
    /// The number of items by state.
    pub counts: ItemCounts,
    /// The number of locations that have to be planned.
    pub to_plan: u64,
    /// The number of locations.
    pub locations: u64,
    /// The number of locations that cannot be entered.
    pub failed_locations: u64,
}
