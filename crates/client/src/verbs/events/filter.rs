//! Which events to list or to follow.

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use crate::proto::AuditEventFilter;

/// Which events. An event must match every option.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Filter")]
pub(super) struct FilterArgs {
    /// Only events with this action, such as `AssociateKmsKey`
    #[arg(long)]
    action: Option<String>,
    /// Only events with this outcome: OK, a reason such as `NOT_ALLOWED`, or the kind of a finding
    #[arg(long)]
    outcome: Option<String>,
    /// Only events of this caller
    #[arg(long, default_value = "", hide_default_value = true)]
    subject: String,
    /// Only events about the resource with this ARN
    #[arg(long, value_name = "ARN", default_value = "", hide_default_value = true)]
    resource: String,
    /// Only events of the call with this request id
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request: String,
    /// The tenant, for callers with `logkey:admin`
    #[arg(long, default_value = "", hide_default_value = true)]
    tenant: String,
}

impl FilterArgs {
    /// The filter, for any time.
    pub(super) fn filter(self) -> AuditEventFilter {
        AuditEventFilter {
            start_time: None,
            end_time: None,
            subject: self.subject,
            action: self.action.unwrap_or_default(),
            resource: self.resource,
            outcome: self.outcome.unwrap_or_default(),
            correlation_id: self.request,
            tenant_id: self.tenant,
        }
    }
}

/// Parses a time, or a duration before now.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let ago = || text.parse::<SignedDuration>().ok().and_then(|ago| Timestamp::now().checked_sub(ago).ok());
    text.parse().ok().or_else(ago).ok_or_else(|| {
        "expected a time such as 2026-01-31T08:00:00Z, or a duration before now such as 2h".to_owned()
    })
}

/// A time of the API.
pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}
