//! Errors of the caller: its tenant, its scopes, and what policy denies.

use std::sync::Arc;

use thiserror::Error;

use crate::domain::{principal::Scope, reason::Reason};

/// Why the caller may not make the call.
#[derive(Debug, Error)]
pub enum AccessError {
    /// The token names a tenant that the configuration does not have, or no longer has.
    #[error("the token's tenant does not exist")]
    TenantRemoved,
    /// The operator suspended the tenant.
    #[error("the tenant is suspended")]
    TenantSuspended,
    /// The token lacks the scope that the call requires.
    #[error("the token lacks the scope {0}")]
    ScopeMissing(Scope),
    /// Policy denies the call.
    #[error("policy denies the call")]
    NotAllowed {
        /// The policies that forbid the call. Empty if no policy permits it.
        policies: Vec<Arc<str>>,
    },
}

// === impl AccessError ===

impl AccessError {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::TenantRemoved => Reason::TokenInvalid,
            Self::TenantSuspended => Reason::TenantSuspended,
            Self::ScopeMissing(_) => Reason::ScopeMissing,
            Self::NotAllowed { .. } => Reason::NotAllowed,
        }
    }
}
