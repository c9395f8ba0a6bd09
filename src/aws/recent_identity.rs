//! The principal of the service, for some seconds. Tenants ask for it when they install roles in many accounts.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long the answer of STS is used. The principal changes only when somebody gives the service another role.
const TTL: Duration = Duration::from_secs(10);

/// What STS answered last.
#[derive(Debug, Default)]
pub(super) struct RecentIdentity(Mutex<Option<KnownIdentity>>);

#[derive(Debug)]
struct KnownIdentity {
    principal: Box<str>,
    at: Instant,
}

// === impl RecentIdentity ===

impl RecentIdentity {
    /// The principal, if it was read within some seconds.
    pub(super) fn recent(&self) -> Option<Box<str>> {
        self.0.lock().as_ref().filter(|known| known.at.elapsed() < TTL).map(|known| known.principal.clone())
    }

    pub(super) fn remember(&self, principal: &str) {
        *self.0.lock() = Some(KnownIdentity { principal: principal.into(), at: Instant::now() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_identity_is_known_for_some_seconds() {
        let identity = RecentIdentity::default();
        assert_eq!(identity.recent(), None);
        identity.remember("arn:aws:iam::999999999999:role/LogKeyHub");
        assert!(identity.recent().is_some());
        tokio::time::advance(TTL).await;
        assert_eq!(identity.recent(), None);
    }
}
