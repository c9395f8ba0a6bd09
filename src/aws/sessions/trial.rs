//! The sessions over a modelled STS, for `benches/sessions.rs`: how often it is asked, and who waits.

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

use super::{Attribution, Bounds, Granted, SessionError, SessionKey, Sessions};
use crate::{
    aws::{
        session_policy::Reach,
        sts::{AssumeRole, Wanted},
    },
    domain::tenant::AccountGrant,
};

/// Longest wait for a session.
const PATIENCE: Duration = Duration::from_secs(10);

/// As many roles as wanted, each of a tenant of its own, and an STS that takes its time.
pub struct SessionTrial {
    sessions: Sessions,
    keys: Vec<SessionKey>,
    sts: Arc<SlowSts>,
}

struct SlowSts {
    takes: Duration,
    lifetime: Duration,
    asked: AtomicUsize,
}

// === impl SessionTrial ===

impl SessionTrial {
    /// For these grants, whose tenants are numbered, with sessions that last `lifetime` and an
    /// `AssumeRole` that takes `takes`.
    #[must_use]
    pub fn new(grants: Vec<AccountGrant>, lifetime: Duration, takes: Duration) -> Self {
        let sts = Arc::new(SlowSts { takes, lifetime, asked: AtomicUsize::new(0) });
        let keys = grants.into_iter().enumerate().filter_map(|(n, grant)| {
            let tenant = format!("tenant-{n}").parse().ok()?;
            Some(SessionKey { tenant, grant: Arc::new(grant), reach: Reach::LogGroups, subject: None })
        });
        let keys: Vec<SessionKey> = keys.collect();
        let bounds = Bounds { sessions: keys.len() * 2, idle: lifetime };
        let assume = Arc::clone(&sts) as Arc<dyn AssumeRole>;
        Self { sessions: Sessions::new(assume, Attribution::Tenant, bounds), keys, sts }
    }

    /// Gets the session of one role, and says how long that took; none where there was none.
    pub async fn get(&self, role: usize) -> Option<Duration> {
        let start = Instant::now();
        self.sessions.get(self.keys.get(role)?, start + PATIENCE).await.ok()?;
        Some(start.elapsed())
    }

    /// How often STS was asked so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.sts.asked.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for SessionTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTrial").field("roles", &self.keys.len()).finish_non_exhaustive()
    }
}

// === impl SlowSts ===

#[async_trait]
impl AssumeRole for SlowSts {
    async fn assume(&self, _: &Wanted) -> Result<Granted, SessionError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        sleep(self.takes.mul_f64(rand::random_range(0.5..1.5))).await;
        let credentials = Credentials::new("key", "secret", None, None, "trial");
        Ok(Granted { credentials, lifetime: self.lifetime })
    }
}
