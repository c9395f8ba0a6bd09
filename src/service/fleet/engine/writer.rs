//! Writes the progress of all locations of this process. Steps that arrive during a write share the next one,
//! so that many locations cost one commit.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::ports::{
    Unavailable,
    bulk::{BulkQueue, QueueStep, StepOutcome, WorkerId},
};

/// The maximum number of steps in one write.
const MAX_STEPS: usize = 64;
/// The wait before a failed write is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How often a write is tried. After that the lease has ended, and another worker may have the claims.
const MAX_ATTEMPTS: u32 = 10;

type Reply = oneshot::Sender<StepOutcome>;

/// The queue, as seen by the locations.
pub(super) struct QueueWriter(mpsc::Sender<(QueueStep, Reply)>);

// === impl QueueWriter ===

impl QueueWriter {
    pub(super) fn new(queue: Arc<dyn BulkQueue>, worker: WorkerId) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_STEPS);
        tokio::spawn(write_all(queue, worker, receiver));
        Self(sender)
    }

    /// Stores a step. [`StepOutcome::ClaimLost`] if the store does not accept it.
    pub(super) async fn advance(&self, step: QueueStep) -> StepOutcome {
        let (reply, outcome) = oneshot::channel();
        if self.0.send((step, reply)).await.is_err() {
            return StepOutcome::ClaimLost;
        }
        outcome.await.unwrap_or(StepOutcome::ClaimLost)
    }
}

async fn write_all(
    queue: Arc<dyn BulkQueue>,
    worker: WorkerId,
    mut received: mpsc::Receiver<(QueueStep, Reply)>,
) {
    let mut waiting = Vec::with_capacity(MAX_STEPS);
    while received.recv_many(&mut waiting, MAX_STEPS).await > 0 {
        let (steps, replies): (Vec<QueueStep>, Vec<Reply>) = waiting.drain(..).unzip();
        let outcomes = write(&*queue, worker, &steps).await;
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            let _gone = reply.send(outcome);
        }
    }
}

/// Writes until the store accepts it. A step may be stored although the store reports an error; the token keeps it
/// from being stored twice.
async fn write(queue: &dyn BulkQueue, worker: WorkerId, steps: &[QueueStep]) -> Vec<StepOutcome> {
    let token = Uuid::new_v4();
    for _ in 0..MAX_ATTEMPTS {
        match queue.advance(worker, token, steps).await {
            Ok(outcomes) => return outcomes,
            Err(error) => warn(&error),
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
    vec![StepOutcome::ClaimLost; steps.len()]
}

fn warn(error: &Unavailable) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "the progress of bulk jobs cannot be stored; retrying");
}
