//! The errors that only reads of the audit log have.

use thiserror::Error;

use crate::domain::{audit::EventId, reason::Reason};

/// Why a read of the audit log failed, or why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The event does not exist, or the caller may not read it.
    #[error("audit event {0} was not found")]
    EventNotFound(EventId),
    /// The events before this position left the store, and the service has no archive that contains them.
    #[error("the events before position {first} were archived, and the service cannot read them")]
    EventsArchived {
        /// The position of the first event that the service can read.
        first: u64,
    },
    /// The newest signed checkpoint does not cover the event. A later one will.
    #[error("no signed checkpoint covers the event yet")]
    NotSignedYet,
    /// The tenant, or all tenants together, have the maximum number of open streams.
    #[error("the limit of open streams is reached")]
    TooManyStreams,
    /// The client did not read from its stream for too long.
    #[error("the client did not read from its stream for too long")]
    StreamNotRead,
    /// The token expired while its stream was open, or the stream reached its maximum age.
    #[error("the token has expired")]
    TokenExpired,
    /// The token of an open stream is no longer valid: its key, issuer or tenant was removed or changed.
    #[error("the token is no longer valid")]
    TokenInvalid,
    /// The keys of the token's issuer are too old, so nobody can know whether the token is still valid.
    #[error("the token can no longer be verified")]
    TokenNotVerifiable,
    /// The service is stopping.
    #[error("the service is stopping")]
    ShuttingDown,
}

// === impl ReadError ===

impl ReadError {
    pub(in crate::service) fn reason(self) -> Reason {
        match self {
            Self::EventNotFound(_) => Reason::AuditEventNotFound,
            Self::EventsArchived { .. } => Reason::AuditEventsArchived,
            Self::NotSignedYet => Reason::AuditUnavailable,
            Self::TooManyStreams => Reason::TenantConcurrencyLimited,
            Self::StreamNotRead => Reason::StreamNotRead,
            Self::TokenExpired => Reason::TokenExpired,
            Self::TokenInvalid => Reason::TokenInvalid,
            Self::TokenNotVerifiable => Reason::IdentityProviderUnavailable,
            Self::ShuttingDown => Reason::ShuttingDown,
        }
    }
}
