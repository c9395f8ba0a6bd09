//! A service that trusts the keys of a [`Forge`], and the assertions about rejected tokens.

use tonic::Code;

use super::forge::Forge;
use crate::harness::{Caller, GROUP, Plan, Service, key, reason};

/// A service and the forge whose keys it trusts.
pub(super) struct Stage {
    pub(super) service: Service,
    pub(super) forge: Forge,
}

impl Stage {
    pub(super) async fn start() -> Self {
        Self::start_with("", "").await
    }

    /// Starts a service with additional settings, also of the issuer.
    pub(super) async fn start_with(settings: &str, issuer: &str) -> Self {
        let forge = Forge::new();
        let jwks = forge.jwks().to_string();
        let plan = Plan::default().settings(settings).issuer(issuer).jwks(&jwks);
        Self { service: Box::pin(plan.start()).await, forge }
    }

    /// Asserts that a token is rejected, and that only the audit log has this reason.
    pub(super) async fn rejects(self, token: &str, reason: &str) {
        self.rejects_each(&[token.to_owned()], reason).await;
    }

    /// Like [`Stage::rejects`], for at most three tokens: the audit log records that many refusals in full.
    pub(super) async fn rejects_each(self, tokens: &[String], detail: &str) {
        for token in tokens {
            let caller = Caller::new(self.service.channel(), token);
            let status = caller.associate(GROUP, &key("good")).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
            assert_eq!(reason(&status), "TOKEN_INVALID");
            assert_eq!(
                status.message(),
                "the token was rejected: get a new one from its issuer, or ask the operator of this service for the cause"
            );
        }
        self.assert_rejected_for(&vec![detail; tokens.len()]).await;
    }

    /// Asserts that no call reached AWS, that a good call works, and that the audit log has these reasons.
    pub(super) async fn assert_rejected_for(self, expected: &[&str]) {
        assert!(self.service.sandbox.sandbox().journal().is_empty(), "a call reached AWS");
        let good = self.forge.token_with_claims(serde_json::json!({}));
        // The call waits for this change to be durable, and the earlier refusals are durable before it.
        Caller::new(self.service.channel(), &good).associate(GROUP, &key("good")).await.unwrap();
        let events = self.service.events().await;
        let refusals: Vec<_> =
            events.iter().filter(|it| it.outcome.as_deref() == Some("TOKEN_INVALID")).collect();
        let details: Vec<_> = refusals.iter().map(|event| event.detail.as_deref().unwrap()).collect();
        assert_eq!(details, expected);
        let without_identity = |event: &&logkey::audit::parsed_event::ParsedEvent| {
            event.subject.is_none() && event.tenant.is_none()
        };
        assert!(refusals.iter().all(without_identity), "a refusal names no unverified subject or tenant");
        self.service.stop().await;
    }
}
