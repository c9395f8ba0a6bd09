//! Who counts: this process alone, or a server that replicas share.

use std::sync::Arc;

use super::StartError;
use crate::{
    config::{LimitBackend, LimitSettings},
    limit::{
        LocalQuota, LocalUpstreamLimiter, SharedQuota,
        redis::{LinkState, RedisBackend, TIMEOUT},
        view::LimitsView,
    },
    ports::TenantQuota,
};

/// The limits, ready to be asked.
pub(super) struct LimitComponents {
    pub(super) quota: Arc<dyn TenantQuota>,
    /// What this process itself gave.
    pub(super) own: Arc<LocalQuota>,
    pub(super) limiter: Arc<LocalUpstreamLimiter>,
    /// The server that replicas share.
    pub(super) link: Option<Arc<RedisBackend>>,
}

impl LimitComponents {
    pub(super) fn start(settings: &LimitSettings) -> Result<Self, StartError> {
        let shared = &settings.shared;
        let own = Arc::new(LocalQuota::new(shared.costs));
        let limiter = LocalUpstreamLimiter::new(shared.upstream.clone(), shared.waiting);
        match &settings.backend {
            LimitBackend::Local => {
                Ok(Self { quota: own.clone(), own, limiter: Arc::new(limiter), link: None })
            }
            LimitBackend::Redis(url) => {
                let link = RedisBackend::start(url, settings.on_backend_error, TIMEOUT)
                    .map_err(StartError::Limits)?;
                let quota = SharedQuota::new(Arc::clone(&link), shared.costs, Arc::clone(&own));
                let limiter = Arc::new(limiter.shared(Arc::clone(&link)));
                Ok(Self { quota: Arc::new(quota), own, limiter, link: Some(link) })
            }
        }
    }
}

/// How it stands with who counts, for the readiness probe: whether calls can be admitted, and in words.
pub(super) fn backend(link: Option<&RedisBackend>) -> Option<(bool, String)> {
    let LinkState { serves, status } = link?.state();
    Some((serves, status))
}

/// Where limits stand, as JSON.
pub(super) fn to_json(
    own: &LocalQuota,
    limiter: &LocalUpstreamLimiter,
    link: Option<&RedisBackend>,
) -> String {
    let view = LimitsView {
        tenants: own.view(),
        quota_keys: limiter.view(),
        backend: link.map(|link| link.state().status),
    };
    serde_json::to_string(&view).unwrap_or_default() + "\n"
}
