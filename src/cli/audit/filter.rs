//! The arguments of `logkey audit list` that select events.

use clap::{Args, builder::PossibleValuesParser};

use crate::{
    audit::event::{operation_names, outcome_names},
    config::parse_duration,
    domain::{tenant::TenantId, time::Timestamp},
    ports::EventFilter,
};

/// Which events to list.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct FilterArgs {
    /// Only events of this tenant.
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Only events at or after this time, such as 2026-01-31T08:00:00Z, or this long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only events before this time, in the same forms.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only events with this action, such as `AssociateKmsKey`.
    #[arg(long, value_parser = PossibleValuesParser::new(operation_names()), hide_possible_values = true)]
    action: Option<String>,
    /// Only events with this outcome: OK, a reason such as `NOT_ALLOWED`, or the kind of a finding.
    #[arg(long, value_parser = PossibleValuesParser::new(outcome_names()), hide_possible_values = true)]
    outcome: Option<String>,
    /// Only events of the call with this request id.
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Only events of this subject.
    #[arg(long)]
    subject: Option<String>,
    /// Only events about the resource with this ARN.
    #[arg(long, value_name = "ARN", value_parser = arn)]
    resource: Option<String>,
}

/// Parses an ARN. Anything else would match no event, which reads like "nothing happened".
fn arn(text: &str) -> Result<String, &'static str> {
    let is_arn = text.starts_with("arn:") && text.splitn(6, ':').count() == 6;
    let expected = "expected an ARN such as arn:aws:logs:REGION:ACCOUNT:log-group:NAME";
    if is_arn { Ok(text.to_owned()) } else { Err(expected) }
}

/// Parses a point in time, or a duration before now.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp::from_micros(at.as_microsecond()));
    }
    let ago = parse_duration(text);
    let ago =
        ago.ok_or("expected a time such as 2026-01-31T08:00:00Z, or a duration before now such as 2h")?;
    Ok(Timestamp::from_micros(jiff::Timestamp::now().as_microsecond()).minus(ago))
}

// === impl FilterArgs ===

impl From<FilterArgs> for EventFilter {
    fn from(args: FilterArgs) -> Self {
        let FilterArgs { tenant, since, until, action, outcome, correlation, subject, resource } = args;
        Self { tenant, since, until, action, outcome, correlation, subject, resource, ..Self::default() }
    }
}
