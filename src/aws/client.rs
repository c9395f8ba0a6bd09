//! The client of AWS that implements the AWS ports.

use std::{fmt, sync::Arc};

use aws_config::retry::RetryConfig;
use aws_sdk_sts::config::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;

use super::{
    call_budget::CallBudgets,
    call_spans::CallSpans,
    clients::{self, Clients, Regional},
    config::Config,
    http_pool,
    recent_identity::RecentIdentity,
    service_health::ServiceHealth,
    sessions::cache::{CacheLimits, Sessions},
    sts::client::{Sts, StsConfig},
    tag_cache::TagCache,
};
use crate::{
    domain::{authorization::Access, tenant::Tenants},
    ports::Clock,
};

/// The maximum number of cached sessions. A session with its policy takes about six kilobytes.
const MAX_SESSIONS: usize = 16_384;
/// The maximum of one tenant. The subjects of a tenant's tokens can fill its share, but not that of others.
const MAX_SESSIONS_OF_TENANT: usize = MAX_SESSIONS / 2;

/// The client of AWS that implements the AWS ports.
pub struct Aws {
    pub(super) sessions: Sessions,
    pub(super) sts: aws_sdk_sts::Client,
    pub(super) assume: Arc<Sts>,
    /// The source of the service's own credentials.
    pub(super) credentials: Option<SharedCredentialsProvider>,
    pub(super) health: Arc<ServiceHealth>,
    pub(super) identity: RecentIdentity,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tags: TagCache,
    pub(super) budgets: CallBudgets,
    clients: Clients,
}

// === impl Aws ===

impl Aws {
    /// Prepares the clients, without a call to AWS. If `config` has no service credentials, the SDK's default
    /// chain provides them when they are first needed.
    pub async fn connect(config: Config, clock: Arc<dyn Clock>) -> Self {
        let http = http_pool::http_client(config.authorities.clone());
        let sdk = clients::service_identity(&config, http.clone()).retry_config(RetryConfig::disabled());
        let sdk = sdk.load().await;
        let Config { region, endpoints, session_duration, attribution, timeouts, .. } = config;
        let mut sts = aws_sdk_sts::config::Builder::from(&sdk);
        sts.set_endpoint_url(endpoints.sts().map(str::to_owned));
        sts.push_interceptor(SharedInterceptor::new(CallSpans));
        let client = aws_sdk_sts::Client::from_conf(sts.build());
        let health = Arc::new(ServiceHealth::new());
        let config = StsConfig { region, duration: session_duration, timeout: timeouts.assume };
        let assume = Arc::new(Sts::new(client.clone(), Arc::clone(&clock), Arc::clone(&health), config));
        let bounds =
            CacheLimits { sessions: MAX_SESSIONS, of_tenant: MAX_SESSIONS_OF_TENANT, idle: session_duration };
        Self {
            clients: Clients::new(http, endpoints, timeouts),
            sessions: Sessions::new(assume.clone(), attribution, bounds),
            sts: client,
            assume,
            credentials: sdk.credentials_provider(),
            health,
            identity: RecentIdentity::default(),
            clock,
            tags: TagCache::default(),
            budgets: CallBudgets::default(),
        }
    }

    /// The clients of the Region of this access.
    pub(super) fn regional(&self, access: &Access) -> Arc<Regional> {
        self.clients.of(&access.location().region)
    }

    /// Removes every cached session that no grant of these tenants uses. Call it after the tenants change.
    pub fn retain_sessions(&self, tenants: &Tenants) {
        self.sessions.retain_tenants(tenants);
    }

    /// The number of cached sessions, for the metrics.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("sessions", &self.sessions.len()).finish_non_exhaustive()
    }
}
