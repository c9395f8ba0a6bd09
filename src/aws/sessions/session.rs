//! A session of an assumed role, and when to renew it.

use std::{fmt, time::Duration};

use aws_sdk_sts::config::SharedCredentialsProvider;
use tokio::time::Instant;

use crate::{
    aws::{session_name::SessionName, sts::assume_role::AssumedSession},
    domain::aws::RoleArn,
};

/// A session is renewed at least this long before its end, minus a jitter of up to half of it.
const MIN_RENEW_AHEAD: Duration = Duration::from_secs(20);

/// The age from which a session that AWS does not know is replaced. A younger one is not at fault.
const OLD: Duration = Duration::from_mins(1);

/// A session of an assumed role.
pub(in crate::aws) struct Session {
    pub(in crate::aws) role: RoleArn,
    pub(in crate::aws) name: SessionName,
    pub(in crate::aws) credentials: SharedCredentialsProvider,
    start: Instant,
    pub(super) renew: Instant,
    pub(super) end: Instant,
}

// === impl Session ===

impl Session {
    pub(super) fn new(role: RoleArn, name: SessionName, assumed: AssumedSession, now: Instant) -> Self {
        // A session of an hour is renewed 18 to 45 seconds before its end. That is early enough for a few
        // attempts, and late enough to need hardly more sessions than their lifetimes require. It is random,
        // so that sessions that began together are not renewed together.
        let share = assumed.lifetime.mul_f64(rand::random_range(0.005..0.0125));
        let ahead = share.max(MIN_RENEW_AHEAD.mul_f64(rand::random_range(0.5..1.0)));
        let end = now + assumed.lifetime;
        Self {
            role,
            name,
            credentials: SharedCredentialsProvider::new(assumed.credentials),
            start: now,
            renew: end.checked_sub(ahead).unwrap_or(end),
            end,
        }
    }

    /// Whether a new session may succeed where AWS does not know this one.
    pub(in crate::aws) fn is_old(&self) -> bool {
        self.start.elapsed() >= OLD
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("role", &self.role).field("name", &self.name).finish_non_exhaustive()
    }
}
