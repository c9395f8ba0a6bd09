//! The ports of the fleet beside those of all use cases.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    num::NonZeroU32,
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    domain::{
        association::Resource,
        fleet::{Failure, FleetSettings, JobId},
        recent_ids::RecentIds,
    },
    ports::{
        bulk::{BulkJobs, BulkQueue},
        coverage::CoverageStore,
        rules::{RepairLog, RuleSchedule, RuleStore},
    },
    service::{
        error::Error,
        shared::streams::{StreamLimiter, StreamLimits},
    },
};

/// The limits of open streams of jobs.
const STREAM_LIMITS: StreamLimits = StreamLimits { per_tenant: count(32), in_all: count(512) };

/// The number of calls that are remembered. The event of one that is forgotten costs a read from AWS.
const MAX_RULE_CALLS: usize = 100_000;

/// Makes the text of an error, as the caller of a single change would get it. `server` implements it, because
/// it words the errors of calls.
pub trait ErrorTexts: Send + Sync + 'static {
    /// The reason, the message and the remedy of the error.
    fn failure(&self, error: &Error) -> Failure;
}

/// The ports of the fleet.
#[derive(Clone)]
pub struct FleetPorts {
    /// Stores bulk jobs.
    pub jobs: Arc<dyn BulkJobs>,
    /// Distributes the work of bulk jobs.
    pub queue: Arc<dyn BulkQueue>,
    /// Stores encryption rules.
    pub rules: Arc<dyn RuleStore>,
    /// Distributes the evaluation of rules.
    pub rule_schedule: Arc<dyn RuleSchedule>,
    /// Keeps the repairs of resources.
    pub repairs: Arc<dyn RepairLog>,
    /// Stores what evaluations find.
    pub coverage: Arc<dyn CoverageStore>,
    /// Words the errors of items.
    pub texts: Arc<dyn ErrorTexts>,
}

/// The use cases of the fleet.
#[derive(Clone)]
pub struct Fleet {
    pub(super) ports: FleetPorts,
    pub(super) settings: Arc<FleetSettings>,
    /// Wakes the engine when a job was created or changed.
    pub(super) changed: Arc<Notify>,
    /// Wakes the scheduler when a tenant became due for an evaluation.
    pub(super) rules_due: Arc<Notify>,
    pub(super) streams: Arc<StreamLimiter>,
    /// The jobs of rules that this process started, until their end is recorded in the coverage.
    pub(super) rule_jobs: Arc<Mutex<HashMap<JobId, JobScope>>>,
    /// The resources that have to be evaluated again when these jobs have ended: somebody else changed them, or a rule
    /// requires another key by now.
    pub(super) changed_meanwhile: Arc<Mutex<HashMap<JobId, HashSet<Resource>>>>,
    /// AWS's ids of the calls by which this process made the changes of rules.
    pub(super) rule_calls: Arc<Mutex<RecentIds>>,
}

/// Which resources have to be read again when the job of a rule has ended.
#[derive(Clone, Debug)]
pub(super) enum JobScope {
    /// All of the tenant.
    Tenant,
    /// These.
    Resources(Vec<Resource>),
}

// === impl Fleet ===

impl Fleet {
    /// Creates the use cases over these ports.
    #[must_use]
    pub fn new(ports: FleetPorts, settings: FleetSettings) -> Self {
        let streams = Arc::new(StreamLimiter::new(STREAM_LIMITS, "logkey_bulk_streams"));
        Self {
            ports,
            settings: Arc::new(settings),
            changed: Arc::default(),
            rules_due: Arc::default(),
            streams,
            rule_jobs: Arc::default(),
            changed_meanwhile: Arc::default(),
            rule_calls: Arc::new(Mutex::new(RecentIds::new(MAX_RULE_CALLS))),
        }
    }

    /// Remembers that the resource has to be evaluated again when the job has ended.
    pub(super) fn evaluate_after(&self, job: JobId, resource: &Resource) {
        self.changed_meanwhile.lock().entry(job).or_default().insert(resource.clone());
        self.rule_jobs.lock().entry(job).or_insert(JobScope::Resources(Vec::new()));
    }

    /// The store of coverage, for its gauges.
    #[must_use]
    pub fn coverage_store(&self) -> Arc<dyn CoverageStore> {
        Arc::clone(&self.ports.coverage)
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for FleetPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetPorts").finish_non_exhaustive()
    }
}

const fn count(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}
