//! Why the server itself rejects a call, without a use case.

use std::{sync::Arc, time::Duration};

use crate::{domain::reason::Reason, ports::OverQuota};

/// Why a layer of the server rejected a call before it reached a use case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) enum EdgeRefusal {
    /// The call has no token.
    TokenMissing,
    /// The token cannot be verified. Only the audit log gets the reason.
    Token {
        /// A short reason that contains no part of the token.
        reason: &'static str,
        /// The token's `jti`, or a hash of the token.
        token_id: Option<Arc<str>>,
    },
    /// The token has expired.
    TokenExpired {
        /// The token's `jti`, or a hash of the token.
        token_id: Arc<str>,
    },
    /// The issuer's keys are not available.
    IssuerUnavailable {
        /// The delay after which a retry can succeed.
        retry_after: Duration,
    },
    /// The caller may not name this person in `x-on-behalf-of`; the text says why and what to do.
    AssertedUser(&'static str),
    /// The process is at its limit of calls in flight, or the source sent too many invalid tokens.
    Overloaded {
        /// The delay after which a retry can succeed.
        retry_after: Duration,
    },
    /// The tenant exceeds its quota.
    Quota(OverQuota),
    /// One or more fields are invalid.
    Body {
        /// The name of each invalid field, and its problem.
        violations: Vec<(String, String)>,
    },
}

// === impl EdgeRefusal ===

impl EdgeRefusal {
    pub(in crate::server) fn reason(&self) -> Reason {
        match self {
            Self::TokenMissing => Reason::TokenMissing,
            Self::Token { .. } => Reason::TokenInvalid,
            Self::TokenExpired { .. } => Reason::TokenExpired,
            Self::IssuerUnavailable { .. } => Reason::IdentityProviderUnavailable,
            Self::AssertedUser(_) => Reason::AssertedUserNotAllowed,
            Self::Overloaded { .. } => Reason::Overloaded,
            Self::Quota(OverQuota::Rate { .. }) => Reason::TenantRateLimited,
            Self::Quota(OverQuota::InFlight { .. }) => Reason::TenantConcurrencyLimited,
            Self::Body { .. } => Reason::FieldInvalid,
        }
    }

    /// The names of the invalid fields, as a predicate for `service::RequestError::Invalid`.
    pub(in crate::server) fn invalid_fields(&self) -> String {
        match self {
            Self::Body { violations } => {
                let names: Vec<&str> = violations.iter().map(|(field, _)| field.as_str()).collect();
                format!("has fields that cannot be used: {}", names.join(", "))
            }
            Self::TokenMissing
            | Self::Token { .. }
            | Self::TokenExpired { .. }
            | Self::IssuerUnavailable { .. }
            | Self::AssertedUser(_)
            | Self::Overloaded { .. }
            | Self::Quota(_) => String::new(),
        }
    }
}
