//! Who is calling, and what they may do.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use thiserror::Error;

use super::Unavailable;
use crate::domain::{
    authorization::{AuthzRequest, Decision, RequiredFacts},
    principal::{CertificateThumbprint, Principal},
    tenant::{Tenant, TenantId},
};

/// Verifies a bearer token.
#[async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// The caller whom the token proves. `certificate` is the client's own, where TLS checked one:
    /// a token that is bound to a certificate (RFC 8705) is good only beside it.
    async fn authenticate(
        &self,
        unverified_token: &str,
        certificate: Option<&CertificateThumbprint>,
    ) -> Result<Arc<Principal>, AuthnError>;

    /// Whether this very token was verified before, so that doing it again costs next to nothing.
    /// It says nothing of whether the token is still good.
    fn is_cached(&self, unverified_token: &str) -> bool;

    /// Whether tokens can be verified at all: one entry for each issuer that cannot be asked now
    /// and whose keys are not known either.
    fn unready(&self) -> Vec<String>;
}

/// Knows the tenants.
pub trait TenantDirectory: Send + Sync + 'static {
    /// The tenant with this id.
    fn find(&self, id: &TenantId) -> Option<Arc<Tenant>>;

    /// The tenant that a token of `issuer` with this value of the tenant claim speaks for.
    fn by_claim(&self, issuer: &str, unverified_claim_value: &str) -> Option<Arc<Tenant>>;
}

/// Decides what a caller may do.
pub trait Authorize: Send + Sync + 'static {
    /// Policy's answer to one question. What it wants and was not told counts as no.
    fn decide(&self, question: &AuthzRequest<'_>) -> Decision;

    /// What policy has to be told before it can answer; nothing where no policy in force asks, or where
    /// the answer would be no all the same.
    fn required_facts(&self, _question: &AuthzRequest<'_>) -> RequiredFacts {
        RequiredFacts::default()
    }
}

/// Issuers, tenants and policies that belong together: what was made of one reading of the settings. A call keeps
/// to one of them from its start to its end, whatever is taken over meanwhile.
pub trait ConfigSnapshot: Send + Sync + 'static {
    /// Verifies tokens by its issuers.
    fn authn(&self) -> &dyn Authenticate;

    /// Its tenants.
    fn tenants(&self) -> &dyn TenantDirectory;

    /// Decides by its policies.
    fn policy(&self) -> &dyn Authorize;
}

/// Knows what is in force.
pub trait SnapshotSource: Send + Sync + 'static {
    /// What is in force now.
    fn current(&self) -> Arc<dyn ConfigSnapshot>;

    /// The tenant as it is now: that it is gone or suspended stops calls too which began before.
    fn current_tenant(&self, id: &TenantId) -> Option<Arc<Tenant>>;
}

/// Why a token was not accepted.
#[derive(Debug, Error)]
pub enum AuthnError {
    /// It does not verify. Why is for the audit log alone.
    #[error("token refused: {reason}")]
    Refused {
        /// What is wrong with it, in a few words that hold nothing of the token.
        reason: &'static str,
        /// Its `jti`, where it has one, or a hash of it.
        token_id: Arc<str>,
    },
    /// Its time is over.
    #[error("token expired")]
    Expired {
        /// Its `jti`, where it has one, or a hash of it.
        token_id: Arc<str>,
    },
    /// The issuer's keys cannot be had, so nothing can be said.
    #[error("issuer keys unavailable")]
    Unavailable {
        /// When asking again makes sense.
        retry_after: Duration,
        /// What went wrong.
        #[source]
        source: Unavailable,
    },
}
