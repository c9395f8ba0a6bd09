//! Tenants, policies and issuers that are in force: one generation, swapped whole by a reload.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use crate::{
    auth::{CedarPolicy, JwtAuthn},
    domain::{
        authorization::{Decision, Question, Wants},
        principal::{CertificateThumbprint, Principal},
        tenant::{Tenant, TenantId, Tenants},
    },
    ports::{Authenticate, AuthnError, Authorize, TenantDirectory},
};

/// What belongs together: rules made for other tenants, or tenants whose issuers are not known, would
/// decide wrongly.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) tenants: Arc<Directory>,
    pub(super) policy: CedarPolicy,
    pub(super) authn: JwtAuthn,
}

/// The tenants of one generation, as a port.
#[derive(Debug)]
pub(super) struct Directory(pub(super) Arc<Tenants>);

/// The generation that is in force.
#[derive(Debug)]
pub(super) struct Current(ArcSwap<Generation>);

// === impl Directory ===

impl TenantDirectory for Directory {
    fn find(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.find(id).cloned()
    }

    fn spoken_for(&self, issuer: &str, unverified_claim_value: &str) -> Option<Arc<Tenant>> {
        self.0.spoken_for(issuer, unverified_claim_value).cloned()
    }
}

// === impl Current ===

impl Current {
    pub(super) fn new(first: Generation) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    pub(super) fn load(&self) -> Arc<Generation> {
        self.0.load_full()
    }

    pub(super) fn replace(&self, next: Generation) {
        self.0.store(Arc::new(next));
    }
}

impl TenantDirectory for Current {
    fn find(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.load().tenants.find(id)
    }

    fn spoken_for(&self, issuer: &str, unverified_claim_value: &str) -> Option<Arc<Tenant>> {
        self.0.load().tenants.spoken_for(issuer, unverified_claim_value)
    }
}

#[async_trait]
impl Authenticate for Current {
    async fn authenticate(
        &self,
        unverified_token: &str,
        certificate: Option<&CertificateThumbprint>,
    ) -> Result<Arc<Principal>, AuthnError> {
        self.0.load_full().authn.authenticate(unverified_token, certificate).await
    }

    fn knows(&self, unverified_token: &str) -> bool {
        self.0.load().authn.knows(unverified_token)
    }

    fn unready(&self) -> Vec<String> {
        self.0.load().authn.unready()
    }
}

impl Authorize for Current {
    fn decide(&self, question: &Question<'_>) -> Decision {
        self.0.load().policy.decide(question)
    }

    fn wants(&self, question: &Question<'_>) -> Wants {
        self.0.load().policy.wants(question)
    }
}
