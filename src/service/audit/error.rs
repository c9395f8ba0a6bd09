//! Every way reading the audit log can end that calls know nothing of.

use thiserror::Error;

use crate::domain::{audit::EventId, reason::Reason};

/// Why reading the audit log did not end in what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// No event like this, or none that the tenant may see.
    #[error("no audit event {0}")]
    EventNotFound(EventId),
    /// No signed checkpoint covers the event yet.
    #[error("no signed checkpoint covers the event yet")]
    NotSignedYet,
    /// The tenant, or all together, have as many streams as they may.
    #[error("as many streams are open as may be")]
    TooManyStreams,
    /// The client took nothing from its stream for too long.
    #[error("the client took nothing from its stream for too long")]
    StreamNotRead,
    /// The token's time was over while its stream was open.
    #[error("the token's time is over")]
    TokenExpired,
    /// The service is about to stop.
    #[error("the service is stopping")]
    ShuttingDown,
}

// === impl ReadError ===

impl ReadError {
    pub(in crate::service) fn reason(self) -> Reason {
        match self {
            Self::EventNotFound(_) => Reason::AuditEventNotFound,
            Self::NotSignedYet => Reason::AuditUnavailable,
            Self::TooManyStreams => Reason::TenantConcurrencyLimited,
            Self::StreamNotRead => Reason::StreamNotRead,
            Self::TokenExpired => Reason::TokenExpired,
            Self::ShuttingDown => Reason::ShuttingDown,
        }
    }
}
