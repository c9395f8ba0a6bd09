//! Creates a job (`CreateBulkAssociation`). The engine plans it afterwards.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{
    access::{authorize, record_change, require_change_scopes},
    view::JobView,
};
use crate::{
    domain::{
        association::Location,
        fleet::{BulkChange, Creator, ItemCounts, Job, JobId, JobSpec, JobStatus},
        idempotency::IDEMPOTENCY_WINDOW,
        principal::Scope,
        time::Timestamp,
    },
    ports::bulk::{CreateOutcome, JobRequest, NewJob, NewLocation},
    service::{
        context::Context,
        error::{ChangeError, Error, FleetError, RequestError},
        fleet::{ports::Fleet, selection::granted_locations},
    },
};

/// A request to create a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateJob {
    /// What the job does.
    pub spec: JobSpec,
    /// Whether the job runs as soon as it is planned.
    pub start: bool,
    /// The idempotency key.
    pub request_id: Option<Uuid>,
}

/// The parts of a new job that its kind decides.
pub(super) struct Blueprint {
    pub(super) spec: JobSpec,
    pub(super) start: bool,
    pub(super) request_id: Option<Uuid>,
    pub(super) revert_of: Option<JobId>,
    pub(super) locations: Vec<Location>,
}

impl Fleet {
    /// Stores a job and starts to plan it.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not create it, or if the selection names something that the tenant does not
    /// have.
    pub async fn create(&self, mut cx: Context, request: CreateJob) -> Result<JobView, Error> {
        let created = self.try_create(&mut cx, request).await;
        cx.record_error(created)
    }

    async fn try_create(&self, cx: &mut Context, request: CreateJob) -> Result<JobView, Error> {
        let CreateJob { spec, start, request_id } = request;
        cx.audit.reason_text(spec.reason.as_deref());
        cx.require(Scope::Bulk)?;
        require_change_scopes(cx, &spec)?;
        let tenant = cx.tenant()?;
        let key = match &spec.change {
            BulkChange::SetKey(key) => Some(key),
            BulkChange::RemoveKey | BulkChange::Revert => None,
        };
        let locations = granted_locations(&tenant, &spec.selection, key)?;
        check_window(&spec, cx.ports().clock.now())?;
        self.store(cx, Blueprint { spec, start, request_id, revert_of: None, locations }).await
    }

    /// Stores a job, or finds the one that the same request created before.
    pub(super) async fn store(&self, cx: &mut Context, blueprint: Blueprint) -> Result<JobView, Error> {
        let Blueprint { spec, start, request_id, revert_of, mut locations } = blueprint;
        let tenant = cx.tenant()?;
        authorize(cx, Some(&tenant.id), "")?;
        locations.sort_by(|one, other| (one.account, &one.region).cmp(&(other.account, &other.region)));
        let now = cx.ports().clock.now();
        let request = request_id.map(|id| JobRequest {
            id,
            fingerprint: fingerprint(&spec, start, revert_of),
            since: now.minus(IDEMPOTENCY_WINDOW),
        });
        let status = JobStatus::new(start, &spec.safety);
        let job = Job {
            id: JobId::new_v7(),
            creator: Creator::from(&*cx.caller),
            status,
            spec,
            counts: ItemCounts::default(),
            created: now,
            revert_of,
            rule: None,
            failure: None,
        };
        let to_plan = |location| NewLocation { location, items: None, key: None };
        let locations = locations.into_iter().map(to_plan).collect();
        let max = self.settings.max_open_jobs;
        let new = NewJob { job, locations, request, max_open: Some(max) };
        let id = match cx.in_turn(self.ports.jobs.create(&new)).await? {
            CreateOutcome::Created => new.job.id,
            CreateOutcome::Exists(id) => id,
            CreateOutcome::RequestIdReused => return Err(Error::Change(ChangeError::RequestIdReused)),
            CreateOutcome::TooManyOpen => return Err(Error::Fleet(FleetError::TooManyJobs { max })),
        };
        cx.audit.job(id);
        record_change(cx).await?;
        self.changed.notify_one();
        let found = cx.in_turn(self.ports.jobs.find(id)).await?;
        self.view(cx, found.ok_or(Error::Fleet(FleetError::JobNotFound(id)))?).await
    }
}

/// Fails if the window for calls is over, or never opens.
fn check_window(spec: &JobSpec, now: Timestamp) -> Result<(), Error> {
    let safety = &spec.safety;
    let problem = if safety.window_is_over(now) {
        "is in the past: use a time in the future"
    } else if safety.end_time.is_some_and(|end| safety.start_time.is_some_and(|start| start >= end)) {
        "is not after safety.start_time: use a later time"
    } else {
        return Ok(());
    };
    Err(Error::Request(RequestError::Invalid { field: "safety.end_time", problem: problem.into() }))
}

/// The hash of what a request asks for.
fn fingerprint(spec: &JobSpec, start: bool, revert_of: Option<JobId>) -> Box<str> {
    let revert_of = revert_of.map(|id| id.to_string());
    let text = serde_json::to_vec(&(spec, start, revert_of)).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &text)).into()
}
