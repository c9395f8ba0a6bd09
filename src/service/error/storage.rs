//! Errors of the durable store.

use thiserror::Error;

use crate::{
    domain::reason::Reason,
    ports::{AuditUnavailable, Unavailable},
};

/// Why the store could not be written or read.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The audit log did not accept the intent in time, so nothing was sent to AWS.
    #[error("the audit log is not writable, so nothing was sent to AWS")]
    AuditUnavailable(#[source] Option<AuditUnavailable>),
    /// The service cannot read its store.
    #[error("the service cannot read its store")]
    RecordUnavailable(#[source] Unavailable),
    /// The service cannot read the archive of its audit log, or the archive does not match the log.
    #[error("the service cannot read the archive of its audit log")]
    ArchiveUnavailable(#[source] Unavailable),
}

// === impl StorageError ===

impl StorageError {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::AuditUnavailable(_) | Self::RecordUnavailable(_) | Self::ArchiveUnavailable(_) => {
                Reason::AuditUnavailable
            }
        }
    }
}
