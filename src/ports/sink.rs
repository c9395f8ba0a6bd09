//! The sinks that receive a copy of the audit log, and their positions in it.

use async_trait::async_trait;
use thiserror::Error;

use super::{tree::SignedCheckpoint, unavailable::Unavailable};
use crate::domain::time::Timestamp;

/// A record for a sink: a stored event, or a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkRecord {
    /// The time of the event or the checkpoint.
    pub time: Timestamp,
    /// The record as one JSON object, without a newline.
    pub text: String,
}

/// Receives a copy of the audit log.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Writes the first of these lines in their order, at least one, and returns how many. The sink has those
    /// lines when this returns. A caller that stops waiting does not know whether the sink has them.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if it is not certain that the sink has any of the lines. Write the same lines again.
    async fn write(&self, lines: &[SinkRecord]) -> Result<usize, SinkError>;
}

/// The position of a sink in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkPosition {
    /// The sequence number of the last event that the sink has; 0 if it has none.
    pub event: u64,
    /// The size of the last checkpoint that the sink has; 0 if it has none.
    pub checkpoint: u64,
}

/// Stores the positions of the sinks, and keeps the checkpoints that a sink does not have yet.
#[async_trait]
pub trait SinkStore: Send + Sync + 'static {
    /// Registers the sinks of the configuration and returns their positions. Checkpoints are no longer kept
    /// for other sinks.
    async fn register(&self, sinks: &[Box<str>]) -> Result<Vec<SinkPosition>, Unavailable>;

    /// At most `limit` of the kept checkpoints that are larger than this size, the smallest first.
    async fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<SignedCheckpoint>, Unavailable>;

    /// Stores that a sink advanced from one position to another.
    async fn advance(&self, sink: &str, from: SinkPosition, to: SinkPosition) -> Result<(), Unavailable>;
}

/// Why a sink accepted nothing.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The sink throttles, or the write is too large for it.
    #[error("the sink is throttled")]
    Throttled(#[source] Cause),
    /// The destination of the sink does not exist.
    #[error("the destination of the sink does not exist")]
    Missing(#[source] Cause),
    /// The sink may not write to its destination.
    #[error("the sink may not write to its destination")]
    Refused(#[source] Cause),
    /// The write failed for another reason.
    #[error("the sink cannot write")]
    Failed(#[source] Cause),
}

/// The underlying cause of an error.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

// === impl SinkError ===

impl SinkError {
    /// Every cause.
    pub const CAUSES: [&str; 4] = ["throttled", "missing", "refused", "failed"];

    /// The cause as a label for metrics.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Throttled(_) => "throttled",
            Self::Missing(_) => "missing",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }
}
