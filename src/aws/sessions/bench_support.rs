//! The session cache over a simulated STS, for `benches/sessions.rs`: counts the calls, and measures the
//! waits.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use tokio::time::{Instant, sleep};

use super::{
    cache::{CacheLimits, Sessions},
    key::SessionKey,
};
use crate::{
    aws::{
        config::SessionTagging,
        session_policy::SessionScope,
        sts::{
            assume_role::{AssumeRole, AssumeRoleInput, AssumedSession},
            session_error::SessionError,
        },
    },
    domain::tenant::AccountGrant,
};

/// The longest wait for a session.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Any number of roles, each of a different tenant, and an STS with a simulated latency.
pub struct SessionBench {
    sessions: Sessions,
    keys: Vec<SessionKey>,
    sts: Arc<SlowSts>,
}

struct SlowSts {
    takes: Duration,
    lifetime: Duration,
    request_count: AtomicUsize,
}

// === impl SessionBench ===

impl SessionBench {
    /// Creates numbered tenants for these grants, with sessions that last `lifetime` and an `AssumeRole` that
    /// takes half to one and a half times `takes`.
    #[must_use]
    pub fn new(grants: Vec<AccountGrant>, lifetime: Duration, takes: Duration) -> Self {
        let sts = Arc::new(SlowSts { takes, lifetime, request_count: AtomicUsize::new(0) });
        let keys = grants.into_iter().enumerate().filter_map(|(n, grant)| {
            let tenant = format!("tenant-{n}").parse().ok()?;
            Some(SessionKey { tenant, grant: Arc::new(grant), scope: SessionScope::LogGroups, subject: None })
        });
        let keys: Vec<SessionKey> = keys.collect();
        let bounds = CacheLimits { sessions: keys.len() * 2, of_tenant: keys.len() * 2, idle: lifetime };
        let assume = Arc::clone(&sts) as Arc<dyn AssumeRole>;
        Self { sessions: Sessions::new(assume, SessionTagging::Tenant, bounds), keys, sts }
    }

    /// Gets the session of one role, and returns how long that took; `None` if there is no session.
    pub async fn get(&self, role: usize) -> Option<Duration> {
        let start = Instant::now();
        self.sessions.get(self.keys.get(role)?, start + TIMEOUT).await.ok()?;
        Some(start.elapsed())
    }

    /// The number of `AssumeRole` calls so far.
    #[must_use]
    pub fn assume_calls(&self) -> usize {
        self.sts.request_count.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for SessionBench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBench").field("roles", &self.keys.len()).finish_non_exhaustive()
    }
}

// === impl SlowSts ===

#[async_trait]
impl AssumeRole for SlowSts {
    async fn assume(&self, _: &AssumeRoleInput) -> Result<AssumedSession, SessionError> {
        self.request_count.fetch_add(1, Ordering::Relaxed);
        sleep(self.takes.mul_f64(rand::random_range(0.5..1.5))).await;
        let credentials = Credentials::new("key", "secret", None, None, "trial");
        Ok(AssumedSession { credentials, lifetime: self.lifetime })
    }
}
