//! Who counts: this process alone, or a server that replicas share.

use std::sync::Arc;

use super::StartError;
use crate::{
    config::{LimitBackend, LimitSettings},
    limit::{
        LocalPace, LocalQuota, SharedQuota,
        redis::{Link, LinkState, PATIENCE},
        view::LimitsView,
    },
    ports::TenantQuota,
};

/// The limits, ready to be asked.
pub(super) struct Counted {
    pub(super) quota: Arc<dyn TenantQuota>,
    /// What this process itself gave.
    pub(super) own: Arc<LocalQuota>,
    pub(super) pace: Arc<LocalPace>,
    /// The server that replicas share.
    pub(super) link: Option<Arc<Link>>,
}

impl Counted {
    pub(super) fn start(settings: &LimitSettings) -> Result<Self, StartError> {
        let shared = &settings.shared;
        let own = Arc::new(LocalQuota::new(shared.costs));
        let pace = LocalPace::new(shared.upstream.clone(), shared.waiting);
        match &settings.backend {
            LimitBackend::Local => Ok(Self { quota: own.clone(), own, pace: Arc::new(pace), link: None }),
            LimitBackend::Redis(url) => {
                let link =
                    Link::start(url, settings.on_backend_error, PATIENCE).map_err(StartError::Limits)?;
                let quota = SharedQuota::new(Arc::clone(&link), shared.costs, Arc::clone(&own));
                let pace = Arc::new(pace.shared(Arc::clone(&link)));
                Ok(Self { quota: Arc::new(quota), own, pace, link: Some(link) })
            }
        }
    }
}

/// How it stands with who counts, for the readiness probe: whether calls can be admitted, and in words.
pub(super) fn backend(link: Option<&Link>) -> Option<(bool, String)> {
    let LinkState { serves, told } = link?.state();
    Some((serves, told))
}

/// Where limits stand, as JSON.
pub(super) fn told(own: &LocalQuota, pace: &LocalPace, link: Option<&Link>) -> String {
    let view =
        LimitsView { tenants: own.view(), lanes: pace.view(), backend: link.map(|link| link.state().told) };
    serde_json::to_string(&view).unwrap_or_default() + "\n"
}
