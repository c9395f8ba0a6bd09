//! A fake of authentication.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    domain::principal::{CertificateThumbprint, Principal},
    ports::{Authenticate, AuthnError, IssuerReadiness},
};

/// Accepts one token.
#[derive(Debug)]
pub struct FakeAuthn {
    token: &'static str,
    principal: Arc<Principal>,
    may_assert_user: bool,
}

// === impl FakeAuthn ===

impl FakeAuthn {
    /// Accepts `token` as the token of `principal`.
    #[must_use]
    pub fn accepting(token: &'static str, principal: Principal) -> Self {
        Self { token, principal: Arc::new(principal), may_assert_user: false }
    }

    /// Whether the issuer may assert users.
    #[must_use]
    pub fn asserting(self, may_assert_user: bool) -> Self {
        Self { may_assert_user, ..self }
    }
}

#[async_trait]
impl Authenticate for FakeAuthn {
    async fn authenticate(
        &self,
        unverified_token: &str,
        _certificate: Option<&CertificateThumbprint>,
    ) -> Result<Arc<Principal>, AuthnError> {
        if unverified_token == self.token {
            Ok(Arc::clone(&self.principal))
        } else {
            Err(AuthnError::Refused { reason: "another token", token_id: "hash".into() })
        }
    }

    fn is_cached(&self, unverified_token: &str) -> bool {
        unverified_token == self.token
    }

    fn may_assert_user(&self, _issuer: &str) -> bool {
        self.may_assert_user
    }

    fn readiness(&self) -> IssuerReadiness {
        IssuerReadiness { problems: Vec::new(), serves: true }
    }
}
