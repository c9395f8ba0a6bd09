//! The engine: what its tasks share.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{job_run::JobRun, worker::CurrentWorker};
use crate::{
    domain::{fleet::JobId, time::Timestamp},
    service::{fleet::ports::Fleet, state::ServiceState},
};

/// Plans and runs bulk jobs. A process has one instance.
pub struct Engine {
    pub(super) state: Arc<ServiceState>,
    pub(super) fleet: Fleet,
    pub(super) worker: CurrentWorker,
    /// When this process started.
    pub(super) started: Timestamp,
    /// The longest time of one change.
    pub(super) request_timeout: Duration,
    /// The jobs of the claimed locations.
    pub(super) jobs: Mutex<HashMap<JobId, Arc<JobRun>>>,
    pub(super) locations: TaskTracker,
    pub(super) stopping: CancellationToken,
}

// === impl Engine ===

impl Engine {
    /// Creates an engine that has not claimed anything.
    #[must_use]
    pub fn new(state: Arc<ServiceState>, fleet: Fleet, request_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            worker: CurrentWorker::new(Arc::clone(&fleet.ports.queue)),
            started: state.ports.clock.now(),
            state,
            request_timeout,
            jobs: Mutex::default(),
            locations: TaskTracker::new(),
            stopping: CancellationToken::new(),
            fleet,
        })
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("worker", &self.worker.get().id).finish_non_exhaustive()
    }
}
