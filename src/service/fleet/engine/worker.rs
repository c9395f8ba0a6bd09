//! This process as a worker of the queue. Another process may take over the claims of a worker whose lease has
//! ended. Such a worker never becomes valid again: the process continues as a new one, and what it still does for
//! claims of the old one cannot be mistaken for the work of the new one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use uuid::Uuid;

use super::writer::QueueWriter;
use crate::{
    ports::{
        Unavailable,
        bulk::{BulkQueue, QueueStep, StepOutcome, WorkerId},
    },
    service::shared::{lease::Lease, upstream::now},
};

/// How long claims are valid without a confirmation.
const LEASE: Duration = Duration::from_secs(3);
/// How long before its end a lease counts as ended, for the time that a commit takes.
const LEASE_MARGIN: Duration = Duration::from_millis(500);

/// A worker with its lease.
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) lease: Arc<Lease>,
    writer: QueueWriter,
}

/// The worker that this process is now.
pub(super) struct CurrentWorker {
    queue: Arc<dyn BulkQueue>,
    current: Mutex<Arc<Worker>>,
}

// === impl Worker ===

impl Worker {
    fn new(queue: &Arc<dyn BulkQueue>) -> Self {
        let id = WorkerId(Uuid::new_v4());
        let lease = if queue.is_single_node() { Lease::unlimited() } else { Lease::unconfirmed(now()) };
        Self { id, lease: Arc::new(lease), writer: QueueWriter::new(Arc::clone(queue), id) }
    }

    /// Whether no other process can have the claims.
    pub(super) fn has_lease(&self) -> bool {
        self.lease.valid_until().is_none_or(|until: Instant| now() < until)
    }

    /// Stores a step, unless another process may have the claims.
    pub(super) async fn advance(&self, step: QueueStep) -> StepOutcome {
        if self.has_lease() { self.writer.advance(step).await } else { StepOutcome::ClaimLost }
    }
}

// === impl CurrentWorker ===

impl CurrentWorker {
    pub(super) fn new(queue: Arc<dyn BulkQueue>) -> Self {
        let current = Mutex::new(Arc::new(Worker::new(&queue)));
        Self { queue, current }
    }

    pub(super) fn get(&self) -> Arc<Worker> {
        Arc::clone(&self.current.lock())
    }

    /// Confirms the claims of the worker. If its lease has ended, a new worker takes its place.
    pub(super) async fn confirm(&self) -> Result<(), Unavailable> {
        let begun = now();
        let worker = self.renewable(begun);
        self.queue.confirm(worker.id, LEASE).await?;
        worker.lease.extend(now(), begun + LEASE.saturating_sub(LEASE_MARGIN));
        Ok(())
    }

    fn renewable(&self, now: Instant) -> Arc<Worker> {
        let mut current = self.current.lock();
        if current.lease.has_ended(now) {
            *current = Arc::new(Worker::new(&self.queue));
        }
        Arc::clone(&current)
    }
}
