//! `[aws]`: how the service itself reaches AWS. Its credentials come from the SDK's default chain.

use std::time::Duration;

use super::{section::Section, value};
use crate::aws::{Config, Endpoints, SessionTagging, Timeouts};

/// Default of `aws.region`.
const REGION: &str = "us-east-1";
/// Default of `aws.session_duration`.
const SESSION: Duration = Duration::from_hours(1);
/// Shortest session (`DurationSeconds` of `AssumeRole` in the STS API reference).
const MIN_SESSION: Duration = Duration::from_mins(15);
/// Longest session (same source).
const MAX_SESSION: Duration = Duration::from_hours(12);
/// Shortest wait that makes sense.
const MIN_TIMEOUT: Duration = Duration::from_millis(10);
/// Longest wait for AWS.
const MAX_TIMEOUT: Duration = Duration::from_mins(10);
/// Longest session of a role that was assumed by a role (same source, "role chaining").
const CHAINED: Duration = Duration::from_hours(1);

/// Reads `[aws]`.
pub(super) fn read(section: &Section<'_>) -> Option<Config> {
    let session_duration =
        section.or_default("session_duration", SESSION, value::duration_within(MIN_SESSION, MAX_SESSION));
    if session_duration > CHAINED {
        section.warn(
            "session_duration",
            "is over an hour, which AWS refuses where the service's own credentials are those of a role",
        );
    }
    let region = section.optional("region", value::parsed);
    let default = if section.has("region") { None } else { REGION.parse().ok() };
    let endpoints = read_endpoints(section);
    let values = [("tenant", SessionTagging::Tenant), ("subject", SessionTagging::Subject)];
    let attribution = section.or_default("attribution", SessionTagging::Tenant, value::one_of(&values));
    let timeouts = read_timeouts(section);
    Some(Config {
        region: region.or(default)?,
        endpoints,
        session_duration,
        attribution,
        timeouts,
        service_principal: None,
    })
}

fn read_endpoints(section: &Section<'_>) -> Endpoints {
    let each = section.section("endpoints");
    Endpoints {
        all: endpoint(section, "endpoint_url"),
        sts: endpoint(&each, "sts"),
        logs: endpoint(&each, "logs"),
        kms: endpoint(&each, "kms"),
        iam: endpoint(&each, "iam"),
        service_quotas: endpoint(&each, "service_quotas"),
    }
}

fn read_timeouts(section: &Section<'_>) -> Timeouts {
    let default = Timeouts::default();
    let timeout =
        |key, default| section.or_default(key, default, value::duration_within(MIN_TIMEOUT, MAX_TIMEOUT));
    Timeouts {
        connect: timeout("connect_timeout", default.connect),
        attempt: timeout("attempt_timeout", default.attempt),
        assume: timeout("assume_timeout", default.assume),
    }
}

fn endpoint(section: &Section<'_>, key: &'static str) -> Option<Box<str>> {
    let url = section.optional(key, value::http_url)?;
    if url.scheme() != "https" && !value::is_loopback(&url) {
        section.warn(key, "is not https: the credentials that STS gives out pass in plain text");
    }
    // Without the slash that the type adds: paths are put behind it.
    Some(url.as_str().trim_end_matches('/').into())
}
