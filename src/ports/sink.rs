//! Where the audit log goes besides its store, and how far each such place has come.

use async_trait::async_trait;
use thiserror::Error;

use super::{SignedCheckpoint, Unavailable};
use crate::domain::time::Timestamp;

/// What a sink receives: an event as it is kept, or a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkRecord {
    /// When it happened.
    pub time: Timestamp,
    /// One JSON object, without a newline.
    pub text: String,
}

/// Takes the audit log.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Takes the first of these lines, in their order, and tells how many: at least one. Those are the
    /// sink's own then; whoever stops waiting does not know whether it took them.
    ///
    /// # Errors
    ///
    /// [`SinkError`]: none of them are certain to be there, and the same are to be given again.
    async fn write(&self, lines: &[SinkRecord]) -> Result<usize, SinkError>;
}

/// How much of the log a sink has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkPosition {
    /// The place of the last event; 0 where it has none.
    pub event: u64,
    /// The size of the last checkpoint; 0 where it has none.
    pub checkpoint: u64,
}

/// Remembers how far each sink has come. Checkpoints that a sink does not have yet are kept for it.
#[async_trait]
pub trait SinkStore: Send + Sync + 'static {
    /// Says which sinks there are, and tells how far they are. Others hold nothing back any more.
    async fn register(&self, sinks: &[Box<str>]) -> Result<Vec<SinkPosition>, Unavailable>;

    /// The kept checkpoints of more than this size, smallest first, at most `limit`.
    async fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<SignedCheckpoint>, Unavailable>;

    /// Remembers that a sink came from one position to another.
    async fn advance(&self, sink: &str, from: SinkPosition, to: SinkPosition) -> Result<(), Unavailable>;
}

/// Why a sink takes nothing.
#[derive(Debug, Error)]
pub enum SinkError {
    /// It wants less at once.
    #[error("it is given more than it takes")]
    Throttled(#[source] Cause),
    /// There is nothing where it writes to.
    #[error("what it writes to does not exist")]
    Missing(#[source] Cause),
    /// It may not write there.
    #[error("it may not write there")]
    Refused(#[source] Cause),
    /// Anything else.
    #[error("it cannot write")]
    Failed(#[source] Cause),
}

/// What lies behind an error.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

// === impl SinkError ===

impl SinkError {
    /// One word for metrics.
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
