//! Callers' credentials: those of the seed and those that `AssumeRole` issued. The access key id in the
//! signature selects them, and the session token must match.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::{
    api_error::ApiError,
    policy::evaluation::{EvalPrincipal, Policy},
    service::Service,
};

/// The maximum number of sessions kept; the oldest are dropped first.
const MAX_SESSIONS: usize = 200_000;

/// An authenticated caller.
#[derive(Debug)]
pub(crate) struct Principal {
    pub(crate) account: String,
    pub(crate) arn: String,
    /// For a session, the ARN of its role.
    pub(crate) role_arn: Option<String>,
    pub(crate) user_id: String,
    /// Absent for credentials of the seed.
    pub(crate) session: Option<Session>,
    /// The identity policy of credentials of the seed. Without one, they have all permissions.
    pub(crate) identity: Option<Policy>,
    /// The share of the packed size that the tags of the caller's own session take, in percent.
    pub(crate) packed_tags_percent: usize,
    /// Whether these are a session's credentials, so that `AssumeRole` with them is role chaining.
    pub(crate) chained: bool,
}

/// A session that `AssumeRole` issued.
pub(crate) struct Session {
    pub(crate) role_name: String,
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) secret: String,
    pub(crate) expires: Timestamp,
    pub(crate) policy: Option<Policy>,
    pub(crate) source_identity: Option<String>,
}

/// All credentials that the sandbox accepts.
#[derive(Debug, Default)]
pub(crate) struct Credentials(Mutex<CredentialStore>);

#[derive(Debug, Default)]
struct CredentialStore {
    by_access_key: HashMap<String, Arc<Principal>>,
    sessions: VecDeque<String>,
}

// === impl Principal ===

impl Principal {
    /// The principal for policy evaluation.
    pub(crate) fn eval_principal(&self) -> EvalPrincipal<'_> {
        EvalPrincipal::Iam { account: &self.account, arn: &self.arn, role_arn: self.role_arn.as_deref() }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("role_name", &self.role_name)
            .field("name", &self.name)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

// === impl Credentials ===

impl Credentials {
    /// The principal that owns this access key.
    ///
    /// # Errors
    ///
    /// AWS's error for an unknown access key, a wrong session token, or an expired session.
    pub(crate) fn find(
        &self,
        service: Service,
        access_key: &str,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Principal>, ApiError> {
        let found = self.0.lock().by_access_key.get(access_key).cloned();
        let unknown = || ApiError::unknown_credentials(service);
        let principal = found.ok_or_else(unknown)?;
        if let Some(session) = &principal.session {
            if token != Some(session.token.as_str()) {
                return Err(unknown());
            }
            if session.expires <= now {
                return Err(ApiError::expired(service));
            }
        }
        Ok(principal)
    }

    /// Adds credentials from the seed; these do not expire.
    pub(crate) fn add_static(&self, access_key: String, principal: Principal) {
        let mut credentials = self.0.lock();
        credentials.by_access_key.insert(access_key, Arc::new(principal));
    }

    /// Adds a session; beyond the maximum, it replaces the oldest one.
    pub(crate) fn add_session(&self, access_key: String, principal: Principal) {
        let mut credentials = self.0.lock();
        while credentials.sessions.len() >= MAX_SESSIONS {
            if let Some(oldest) = credentials.sessions.pop_front() {
                credentials.by_access_key.remove(&oldest);
            }
        }
        credentials.sessions.push_back(access_key.clone());
        credentials.by_access_key.insert(access_key, Arc::new(principal));
    }

    /// The secret key and token of every session.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let credentials = self.0.lock();
        let sessions = credentials.by_access_key.values().filter_map(|principal| principal.session.as_ref());
        sessions.flat_map(|session| [session.secret.clone(), session.token.clone()]).collect()
    }
}
