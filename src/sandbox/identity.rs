//! Who calls: credentials from the seed, and those that `AssumeRole` gave out. The access key id
//! of the signature names them; the session token must be the one they came with.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use super::{
    api_error::ApiError,
    policy::{Policy, Who},
    wire::Service,
};

/// Sessions kept at most; the oldest goes first.
const MAX_SESSIONS: usize = 200_000;

/// One who calls.
#[derive(Debug)]
pub(crate) struct Principal {
    pub(crate) account: String,
    pub(crate) arn: String,
    /// Where it is a session, the ARN of its role.
    pub(crate) role_arn: Option<String>,
    pub(crate) user_id: String,
    /// Absent for credentials of the seed.
    pub(crate) session: Option<Session>,
    /// The session's own credentials count as chained where the caller is one.
    pub(crate) chained: bool,
}

/// What `AssumeRole` was asked for.
pub(crate) struct Session {
    pub(crate) role_name: String,
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) secret: String,
    pub(crate) expires: Timestamp,
    pub(crate) policy: Option<Policy>,
    pub(crate) source_identity: Option<String>,
}

/// All credentials that are good now.
#[derive(Debug, Default)]
pub(crate) struct Credentials(Mutex<CredentialStore>);

#[derive(Debug, Default)]
struct CredentialStore {
    by_access_key: HashMap<String, Arc<Principal>>,
    sessions: VecDeque<String>,
}

// === impl Principal ===

impl Principal {
    /// The principal as policies see it.
    pub(crate) fn principal_arn(&self) -> Who<'_> {
        Who::Iam { account: &self.account, arn: &self.arn, role_arn: self.role_arn.as_deref() }
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
    /// Whoever holds this access key.
    ///
    /// # Errors
    ///
    /// As AWS refuses an unknown key, another session token, or a session that is over.
    pub(crate) fn find(
        &self,
        service: Service,
        access_key: &str,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Principal>, ApiError> {
        let found = self.locked().by_access_key.get(access_key).cloned();
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

    /// Adds credentials of the seed, which do not expire.
    pub(crate) fn add_static(&self, access_key: String, principal: Principal) {
        let mut credentials = self.locked();
        credentials.by_access_key.insert(access_key, Arc::new(principal));
    }

    /// Adds a session.
    pub(crate) fn add_session(&self, access_key: String, principal: Principal) {
        let mut credentials = self.locked();
        while credentials.sessions.len() >= MAX_SESSIONS {
            if let Some(oldest) = credentials.sessions.pop_front() {
                credentials.by_access_key.remove(&oldest);
            }
        }
        credentials.sessions.push_back(access_key.clone());
        credentials.by_access_key.insert(access_key, Arc::new(principal));
    }

    /// What must be kept secret of every session.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let credentials = self.locked();
        let sessions = credentials.by_access_key.values().filter_map(|principal| principal.session.as_ref());
        sessions.flat_map(|session| [session.secret.clone(), session.token.clone()]).collect()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, CredentialStore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
