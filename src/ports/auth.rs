//! Authentication, tenants and policy, combined in a snapshot of the configuration.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use thiserror::Error;

use super::unavailable::Unavailable;
use crate::domain::{
    authorization::{AuthzRequest, Decision, RequiredFacts},
    principal::{CertificateThumbprint, Principal},
    tenant::{Tenant, TenantId},
};

/// Verifies a bearer token.
#[async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// The caller that the token proves. `certificate` is the client certificate that TLS verified, if any. A
    /// token that is bound to a certificate (RFC 8705) is valid only with that certificate.
    async fn authenticate(
        &self,
        unverified_token: &str,
        certificate: Option<&CertificateThumbprint>,
    ) -> Result<Arc<Principal>, AuthnError>;

    /// Whether the result for this token is cached, so that authenticating it again is cheap. The token may
    /// have become invalid since.
    fn is_cached(&self, unverified_token: &str) -> bool;

    /// Whether a caller with a token of this issuer may name in `x-on-behalf-of` the person for whom it calls.
    fn may_assert_user(&self, issuer: &str) -> bool;

    /// The state of the issuers' keys.
    fn readiness(&self) -> IssuerReadiness;
}

/// The token of an open stream, to verify it again while the stream is open. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct StreamToken {
    /// The token as the client sent it.
    pub unverified_token: Arc<str>,
    /// The client certificate that TLS verified, if any.
    pub certificate: Option<CertificateThumbprint>,
}

impl fmt::Debug for StreamToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamToken").finish_non_exhaustive()
    }
}

/// The state of the issuers' keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerReadiness {
    /// The issuers whose tokens cannot be verified now, each with the reason.
    pub problems: Vec<String>,
    /// Whether the service can verify tokens: at least one issuer publishes a key that it can use.
    pub serves: bool,
}

/// Finds tenants.
pub trait TenantDirectory: Send + Sync + 'static {
    /// The tenant with this id.
    fn find(&self, id: &TenantId) -> Option<Arc<Tenant>>;

    /// Every tenant, in no particular order.
    fn all(&self) -> Vec<Arc<Tenant>>;

    /// The tenant of a token from `issuer` with this value of the tenant claim.
    fn by_claim(&self, issuer: &str, unverified_claim_value: &str) -> Option<Arc<Tenant>>;
}

/// Evaluates policy.
pub trait Authorize: Send + Sync + 'static {
    /// The decision on one request. If a required fact is missing, the decision is a denial.
    fn decide(&self, request: &AuthzRequest<'_>) -> Decision;

    /// The facts that policy requires for a decision. Empty if no policy requires one, or if the decision is
    /// a denial in any case.
    fn required_facts(&self, _request: &AuthzRequest<'_>) -> RequiredFacts {
        RequiredFacts::default()
    }
}

/// The issuers, tenants and policies of one reading of the settings. A call uses one snapshot from its start
/// to its end, even if a reload replaces the snapshot meanwhile.
pub trait ConfigSnapshot: Send + Sync + 'static {
    /// Verifies tokens with the issuers of the snapshot.
    fn authn(&self) -> &dyn Authenticate;

    /// Finds the tenants of the snapshot.
    fn tenants(&self) -> &dyn TenantDirectory;

    /// Evaluates the policies of the snapshot.
    fn policy(&self) -> &dyn Authorize;
}

/// Provides the current snapshot.
pub trait SnapshotSource: Send + Sync + 'static {
    /// The current snapshot.
    fn current(&self) -> Arc<dyn ConfigSnapshot>;

    /// The tenant in the current snapshot. If the tenant was removed or suspended, calls that began before
    /// stop too.
    fn current_tenant(&self, id: &TenantId) -> Option<Arc<Tenant>>;
}

/// Why a token was rejected.
#[derive(Debug, Error)]
pub enum AuthnError {
    /// The token is not valid. Only the audit log records the reason.
    #[error("token refused: {reason}")]
    Refused {
        /// What is wrong with the token, without any content of it.
        reason: &'static str,
        /// The token's `jti`, or a hash of the token.
        token_id: Arc<str>,
    },
    /// The token has expired.
    #[error("token expired")]
    Expired {
        /// The token's `jti`, or a hash of the token.
        token_id: Arc<str>,
    },
    /// The issuer's keys cannot be fetched, so the token cannot be verified.
    #[error("issuer keys unavailable")]
    Unavailable {
        /// The time after which a repetition can succeed.
        retry_after: Duration,
        /// The error of the fetch.
        #[source]
        source: Unavailable,
    },
}
