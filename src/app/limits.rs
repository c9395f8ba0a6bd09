//! Builds the tenant quota and the upstream limiter, for this process alone or with a server that replicas
//! share.

use std::sync::Arc;

use super::error::StartError;
use crate::{
    config::{LimitBackend, LimitSettings},
    limit::{
        LocalQuota, LocalUpstreamLimiter, SharedQuota,
        redis::{LinkState, RedisBackend, TIMEOUT},
        view::LimitsView,
    },
    ports::TenantQuota,
};

/// The parts that enforce the limits.
pub(super) struct LimitComponents {
    pub(super) quota: Arc<dyn TenantQuota>,
    /// The quota of this process alone.
    pub(super) local_quota: Arc<LocalQuota>,
    pub(super) limiter: Arc<LocalUpstreamLimiter>,
    /// The server that replicas share; `None` if each process counts separately.
    pub(super) backend: Option<Arc<RedisBackend>>,
}

impl LimitComponents {
    pub(super) fn start(settings: &LimitSettings) -> Result<Self, StartError> {
        let shared = &settings.shared;
        let local_quota = Arc::new(LocalQuota::new(shared.costs));
        let limiter = LocalUpstreamLimiter::new(shared.upstream.clone(), shared.waiting);
        match &settings.backend {
            LimitBackend::Local => Ok(Self {
                quota: local_quota.clone(),
                local_quota,
                limiter: Arc::new(limiter),
                backend: None,
            }),
            LimitBackend::Redis(url) => {
                let backend = RedisBackend::start(url, settings.on_backend_error, TIMEOUT)
                    .map_err(StartError::Limits)?;
                let quota = SharedQuota::new(Arc::clone(&backend), shared.costs, Arc::clone(&local_quota));
                let limiter = Arc::new(limiter.shared(Arc::clone(&backend)));
                Ok(Self { quota: Arc::new(quota), local_quota, limiter, backend: Some(backend) })
            }
        }
    }
}

/// The state of the shared server for the readiness probe: a problem if it is down, or else a line for people.
pub(super) fn problem_or_note(backend: Option<&RedisBackend>) -> (Option<String>, Option<String>) {
    let Some(backend) = backend else { return (None, None) };
    let LinkState { up, status } = backend.state();
    if up { (None, Some(format!("limits: {status}"))) } else { (Some(status), None) }
}

/// The current state of the limits, as JSON.
pub(super) fn to_json(
    local_quota: &LocalQuota,
    limiter: &LocalUpstreamLimiter,
    backend: Option<&RedisBackend>,
) -> String {
    let view = LimitsView {
        tenants: local_quota.view(),
        quota_keys: limiter.view(),
        backend: backend.map(|backend| backend.state().status),
    };
    serde_json::to_string(&view).unwrap_or_default() + "\n"
}
