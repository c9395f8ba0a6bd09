//! The engine: what its tasks share.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{
    job_run::{CallParts, JobRun},
    writer::QueueWriter,
};
use crate::{
    domain::fleet::JobId,
    ports::bulk::WorkerId,
    service::{fleet::ports::Fleet, shared::lease::Lease, state::ServiceState},
};

/// Plans and runs bulk jobs. A process has one instance.
pub struct Engine {
    pub(super) state: Arc<ServiceState>,
    pub(super) fleet: Fleet,
    pub(super) worker: WorkerId,
    pub(super) lease: Arc<Lease>,
    /// The longest time of one change.
    pub(super) request_timeout: Duration,
    /// The jobs of the claimed locations.
    pub(super) jobs: Mutex<HashMap<JobId, Arc<JobRun>>>,
    pub(super) writer: QueueWriter,
    pub(super) locations: TaskTracker,
    pub(super) stopping: CancellationToken,
}

// === impl Engine ===

impl Engine {
    /// Creates an engine that has not claimed anything.
    #[must_use]
    pub fn new(state: Arc<ServiceState>, fleet: Fleet, request_timeout: Duration) -> Arc<Self> {
        let worker = WorkerId(Uuid::new_v4());
        let writer = QueueWriter::new(Arc::clone(&fleet.ports.queue), worker);
        Arc::new(Self {
            state,
            worker,
            lease: Arc::default(),
            request_timeout,
            jobs: Mutex::default(),
            writer,
            locations: TaskTracker::new(),
            stopping: CancellationToken::new(),
            fleet,
        })
    }
}

impl Engine {
    /// What all calls of jobs share.
    pub(super) fn call_parts(&self) -> CallParts<'_> {
        CallParts { state: &self.state, lease: &self.lease, timeout: self.request_timeout }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("worker", &self.worker).finish_non_exhaustive()
    }
}
