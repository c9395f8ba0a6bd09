//! `[aws]`: how the service calls AWS. Its credentials come from the SDK's default chain, not from here.

use std::time::Duration;

use super::{section::Section, value};
use crate::aws::{Config, Endpoints, SessionTagging, Timeouts};

/// Default of `aws.region`.
const REGION: &str = "us-east-1";
/// Default of `aws.session_duration`.
const DEFAULT_SESSION: Duration = Duration::from_hours(1);
/// The shortest session of a role (`DurationSeconds` in
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>).
const MIN_SESSION: Duration = Duration::from_mins(15);
/// The longest session of a role (same source).
const MAX_SESSION: Duration = Duration::from_hours(12);
/// The minimum of each timeout.
const MIN_TIMEOUT: Duration = Duration::from_millis(10);
/// The maximum of each timeout.
const MAX_TIMEOUT: Duration = Duration::from_mins(10);
/// The longest session of a role that another role assumes (same source, "role chaining").
const MAX_CHAINED_SESSION: Duration = Duration::from_hours(1);

/// Reads `[aws]`.
pub(super) fn read(section: &Section<'_>) -> Option<Config> {
    let session_duration = section.or_default(
        "session_duration",
        DEFAULT_SESSION,
        value::duration_within(MIN_SESSION, MAX_SESSION),
    );
    if session_duration > MAX_CHAINED_SESSION {
        section.warn(
            "session_duration",
            "is over an hour: AWS refuses that if the service's own credentials are those of a role",
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
        authorities: None,
        service_principal: None,
    })
}

fn read_endpoints(section: &Section<'_>) -> Endpoints {
    let endpoints = section.section("endpoints");
    Endpoints {
        all: endpoint(section, "endpoint_url"),
        sts: endpoint(&endpoints, "sts"),
        logs: endpoint(&endpoints, "logs"),
        kms: endpoint(&endpoints, "kms"),
        iam: endpoint(&endpoints, "iam"),
        service_quotas: endpoint(&endpoints, "service_quotas"),
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
        section.warn(key, "is not https: the credentials that STS returns would be sent in plain text");
    }
    // `Url` adds a slash at the end, but the SDK appends paths that begin with one.
    Some(url.as_str().trim_end_matches('/').into())
}
