//! One client per AWS service and Region for all tenants, over one connection pool.
//!
//! A client holds no credentials; each call brings those of its session. The SDK does not retry, because its
//! retry budget would be shared by all accounts; the code that limits the rate of a call also retries it.

use std::{collections::HashMap, fmt, sync::Arc};

use aws_config::{BehaviorVersion, ConfigLoader, timeout::TimeoutConfig};
use aws_sdk_sts::config::{
    IdentityCache, SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig,
};
use parking_lot::Mutex;

use super::{
    call_spans::CallSpans,
    config::{Config, Endpoints, Timeouts},
};
use crate::domain::aws::Region;

/// The maximum number of Regions with cached clients; AWS has about forty Regions.
const MAX_REGIONS: usize = 128;

/// The clients, created at their first use.
pub(super) struct Clients {
    http: SharedHttpClient,
    endpoints: Endpoints,
    timeouts: Timeouts,
    regional: Mutex<HashMap<Region, Arc<Regional>>>,
}

/// The clients of one Region.
pub(super) struct Regional {
    pub(super) logs: aws_sdk_cloudwatchlogs::Client,
    pub(super) kms: aws_sdk_kms::Client,
    /// IAM has one endpoint per partition; the SDK finds it from any of its Regions.
    pub(super) iam: aws_sdk_iam::Client,
    pub(super) quotas: aws_sdk_servicequotas::Client,
}

// === impl Clients ===

impl Clients {
    pub(super) fn new(http: SharedHttpClient, endpoints: Endpoints, timeouts: Timeouts) -> Self {
        Self { http, endpoints, timeouts, regional: Mutex::default() }
    }

    /// The clients of this Region.
    pub(super) fn of(&self, region: &Region) -> Arc<Regional> {
        let mut regional = self.regional.lock();
        if let Some(found) = regional.get(region) {
            return Arc::clone(found);
        }
        if regional.len() >= MAX_REGIONS {
            regional.clear();
        }
        let client = Arc::new(self.make(region));
        regional.insert(region.clone(), Arc::clone(&client));
        client
    }

    fn make(&self, region: &Region) -> Regional {
        macro_rules! client {
            ($sdk:ident, $endpoint:expr) => {{
                let mut config = $sdk::Config::builder()
                    .behavior_version(BehaviorVersion::latest())
                    .region($sdk::config::Region::new(region.as_str().to_owned()))
                    .http_client(self.http.clone())
                    .identity_cache(IdentityCache::no_cache())
                    .retry_config(RetryConfig::disabled())
                    .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
                    .timeout_config(timeouts(&self.timeouts))
                    .interceptor(CallSpans);
                config.set_endpoint_url($endpoint.map(str::to_owned));
                $sdk::Client::from_conf(config.build())
            }};
        }
        Regional {
            logs: client!(aws_sdk_cloudwatchlogs, self.endpoints.logs()),
            kms: client!(aws_sdk_kms, self.endpoints.kms()),
            iam: client!(aws_sdk_iam, self.endpoints.iam()),
            quotas: client!(aws_sdk_servicequotas, self.endpoints.service_quotas()),
        }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// The SDK's configuration with the credentials of the service identity, without an endpoint.
pub(super) fn service_identity(config: &Config, http: SharedHttpClient) -> ConfigLoader {
    let sdk = aws_config::defaults(BehaviorVersion::latest())
        .region(aws_config::Region::new(config.region.as_str().to_owned()))
        .http_client(http)
        .timeout_config(timeouts(&config.timeouts));
    match &config.service_principal {
        Some(service_principal) => sdk.credentials_provider(service_principal.provider()),
        None => sdk,
    }
}

/// The timeouts of one attempt.
pub(super) fn timeouts(limits: &Timeouts) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(limits.connect).operation_attempt_timeout(limits.attempt).build()
}
