//! `[limits]`: tenant quotas, and how fast the service calls AWS.

use std::{collections::HashMap, num::NonZeroU32};

use super::{
    section::Section,
    tree::Node,
    value::{self, ValueError},
};
use crate::{
    domain::tenant::Limits,
    limit::{
        AwsQuota, AwsQuotas, Config, Costs, QueueBounds,
        redis::{OnBackendError, RedisUrl},
    },
};

/// Defaults of `limits.tenant`.
const DEFAULT_TENANT: Limits = Limits { per_second: count(50), burst: count(100), max_in_flight: count(64) };

/// The settings of tenant quotas and of the upstream limiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Where the counters of tenant quotas are.
    pub backend: LimitBackend,
    /// What to do while the shared server does not answer.
    pub on_backend_error: OnBackendError,
    /// The limits of a tenant that configures none.
    pub tenant: Limits,
    /// The costs of calls, AWS's quotas and the bounds of the queues.
    pub shared: Config,
    /// Whether the service reads quotas that are not configured from Service Quotas.
    pub service_quotas: bool,
}

/// Where the counters of tenant quotas are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitBackend {
    /// In each process separately.
    Local,
    /// On a Redis or Valkey server that the replicas share.
    Redis(RedisUrl),
}

/// Reads `[limits]`.
pub(super) fn read(section: &Section<'_>) -> LimitSettings {
    let on_error = [("share", OnBackendError::Share), ("refuse", OnBackendError::Refuse)];
    let found = section.secret("backend", "backend_file", backend);
    let backend = with_credentials(section, found.unwrap_or(LimitBackend::Local));
    LimitSettings {
        backend,
        on_backend_error: section.or_default(
            "on_backend_error",
            OnBackendError::Share,
            value::one_of(&on_error),
        ),
        tenant: read_tenant(&section.section("tenant"), DEFAULT_TENANT),
        shared: Config {
            costs: read_costs(&section.section("costs")),
            upstream: read_upstreams(section),
            waiting: read_queue(&section.section("waiting")),
        },
        service_quotas: section.or_default("service_quotas", false, value::boolean),
    }
}

/// Adds the passwords and the certificate authority from their separate files.
fn with_credentials(section: &Section<'_>, backend: LimitBackend) -> LimitBackend {
    let password = section.secret_text("backend_password_file");
    let sentinel_password = section.secret_text("backend_sentinel_password_file");
    let ca = section.authorities("backend_ca_file");
    let LimitBackend::Redis(mut url) = backend else {
        for (key, is_set) in [
            ("backend_password_file", password.is_some()),
            ("backend_sentinel_password_file", sentinel_password.is_some()),
            ("backend_ca_file", ca.is_some()),
        ] {
            if is_set {
                section.report(key, "has no effect, because backend does not name a server: omit it");
            }
        }
        return backend;
    };
    if password.is_some() && url.has_password() {
        section.report("backend_password_file", "and a password in backend are both set: keep one of them");
    }
    if sentinel_password.is_some() && !url.has_sentinels() {
        section.report(
            "backend_sentinel_password_file",
            "has no effect without Sentinels: write redis+sentinel://HOST:26379/NAME in backend",
        );
    }
    if ca.is_some() && !url.is_encrypted() {
        section
            .report("backend_ca_file", "has no effect without TLS: write rediss instead of redis in backend");
    }
    if let Some(password) = password {
        url = url.with_password(password);
    }
    if let Some(password) = sentinel_password {
        url = url.with_sentinel_password(password);
    }
    if let Some(ca) = ca {
        url = url.with_ca(ca);
    }
    LimitBackend::Redis(url)
}

fn read_costs(section: &Section<'_>) -> Costs {
    let default = Costs::default();
    Costs {
        read: section.or_default("read", default.read, value::count),
        change: section.or_default("change", default.change, value::count),
    }
}

fn read_upstreams(section: &Section<'_>) -> AwsQuotas {
    let default = read_upstream(&section.section("upstream"), AwsQuota::default());
    let mut accounts = HashMap::new();
    for account in section.sections("accounts") {
        let own = read_upstream(&account, default);
        if let Some(id) = account.required("account_id", "\"111122223333\"", value::parsed)
            && accounts.insert(id, own).is_some()
        {
            account.report("account_id", "is listed twice: keep one of the entries");
        }
    }
    AwsQuotas { default, accounts }
}

fn read_upstream(section: &Section<'_>, default: AwsQuota) -> AwsQuota {
    let count = |key, default: Option<NonZeroU32>| section.optional(key, value::count).or(default);
    AwsQuota {
        associate_per_second: count("associate_per_second", default.associate_per_second),
        disassociate_per_second: count("disassociate_per_second", default.disassociate_per_second),
        describe_per_second: count("describe_per_second", default.describe_per_second),
        start_query_per_second: count("start_query_per_second", default.start_query_per_second),
        get_query_results_per_second: count(
            "get_query_results_per_second",
            default.get_query_results_per_second,
        ),
    }
}

fn read_queue(section: &Section<'_>) -> QueueBounds {
    let default = QueueBounds::default();
    QueueBounds {
        per_quota_key: section.or_default("per_lane", default.per_quota_key, value::size),
        per_tenant: section.or_default("per_tenant", default.per_tenant, value::size),
    }
}

/// Reads a tenant's limits. A key that is absent has the value of `default`.
pub(super) fn read_tenant(section: &Section<'_>, default: Limits) -> Limits {
    Limits {
        per_second: section.or_default("per_second", default.per_second, value::count),
        burst: section.or_default("burst", default.burst, value::count),
        max_in_flight: section.or_default("max_in_flight", default.max_in_flight, value::count),
    }
}

fn backend(node: &Node) -> Result<LimitBackend, ValueError> {
    if value::text(node)? == "local" {
        return Ok(LimitBackend::Local);
    }
    value::parsed(node).map(LimitBackend::Redis)
}

const fn count(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}
