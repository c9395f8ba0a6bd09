//! A service that knows a forger's keys, and what it has to do with each forgery.

use tonic::Code;

use super::forge::Forge;
use crate::harness::{Caller, GROUP, Plan, Service, key, reason};

/// The service, and the forger.
pub(super) struct Stage {
    pub(super) service: Service,
    pub(super) forge: Forge,
}

impl Stage {
    pub(super) async fn usual() -> Self {
        Self::with("", "").await
    }

    /// With more settings, and more of the issuer.
    pub(super) async fn with(settings: &str, issuer: &str) -> Self {
        let forge = Forge::new();
        let jwks = forge.jwks().to_string();
        let plan = Plan::default().settings(settings).issuer(issuer).jwks(&jwks);
        Self { service: Box::pin(plan.start()).await, forge }
    }

    /// A token is refused, and only the audit log knows that this is why.
    pub(super) async fn refuses(self, token: &str, reason: &str) {
        self.refuses_each(&[token.to_owned()], reason).await;
    }

    /// As [`Stage::refuses`], for three spellings of the same at most: so many are recorded whole.
    pub(super) async fn refuses_each(self, tokens: &[String], detail: &str) {
        for token in tokens {
            let caller = Caller::new(self.service.channel(), token);
            let status = caller.associate(GROUP, &key("good")).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
            assert_eq!(reason(&status), "TOKEN_INVALID");
            assert_eq!(status.message(), "the token was not accepted");
        }
        self.refused_for(&vec![detail; tokens.len()]).await;
    }

    /// Nothing reached AWS, a good call goes on, and the log says why others did not.
    pub(super) async fn refused_for(self, expected: &[&str]) {
        assert!(self.service.sandbox.sandbox().journal().is_empty(), "something reached AWS");
        let good = self.forge.claiming(serde_json::json!({}));
        // What was noted before a change that is waited for is written.
        Caller::new(self.service.channel(), &good).associate(GROUP, &key("good")).await.unwrap();
        let events = self.service.events().await;
        let output: Vec<_> =
            events.iter().filter(|it| it.outcome.as_deref() == Some("TOKEN_INVALID")).collect();
        let details: Vec<_> = output.iter().map(|event| event.detail.as_deref().unwrap()).collect();
        assert_eq!(details, expected);
        let unproved = |event: &&logkey::audit::parsed_event::ParsedEvent| {
            event.subject.is_none() && event.tenant.is_none()
        };
        assert!(output.iter().all(unproved), "nothing of it was proved");
        self.service.stop().await;
    }
}
