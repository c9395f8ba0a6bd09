//! The ports of the fleet beside those of all use cases.

use std::{fmt, num::NonZeroU32, sync::Arc};

use tokio::sync::Notify;

use crate::{
    domain::fleet::{Failure, FleetSettings},
    ports::bulk::{BulkJobs, BulkQueue},
    service::{
        error::Error,
        shared::streams::{StreamLimiter, StreamLimits},
    },
};

/// The limits of open streams of jobs.
const STREAM_LIMITS: StreamLimits = StreamLimits { per_tenant: count(32), in_all: count(512) };

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
    pub(super) streams: Arc<StreamLimiter>,
}

// === impl Fleet ===

impl Fleet {
    /// Creates the use cases over these ports.
    #[must_use]
    pub fn new(ports: FleetPorts, settings: FleetSettings) -> Self {
        let streams = Arc::new(StreamLimiter::new(STREAM_LIMITS, "logkey_bulk_streams"));
        Self { ports, settings: Arc::new(settings), changed: Arc::default(), streams }
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
