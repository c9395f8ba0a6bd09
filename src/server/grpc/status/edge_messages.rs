//! The messages and details of the rejections by the server itself.

use super::{details::StatusDetails, edge_refusal::EdgeRefusal};
use crate::{domain::tenant::TenantId, ports::OverQuota};

pub(super) fn refusal_details(refusal: &EdgeRefusal) -> StatusDetails {
    match refusal {
        EdgeRefusal::TokenMissing => StatusDetails::new(
            "a bearer token is required: send it in the metadata as 'authorization: Bearer TOKEN'",
        ),
        EdgeRefusal::Token { .. } => StatusDetails::new(
            "the token was rejected: get a new one from its issuer, or ask the operator of this service for the cause",
        ),
        EdgeRefusal::TokenExpired { .. } => {
            StatusDetails::new("the token has expired: get a new one from your issuer")
        }
        EdgeRefusal::IssuerUnavailable { retry_after } => StatusDetails::new(
            "the token cannot be verified, because the issuer's keys are not available: retry",
        )
        .with_retry(*retry_after),
        EdgeRefusal::AssertedUser(problem) => StatusDetails::new(*problem),
        EdgeRefusal::Overloaded { retry_after } => {
            StatusDetails::new("the service is overloaded: retry later").with_retry(*retry_after)
        }
        EdgeRefusal::Quota(OverQuota::Rate { retry_after, .. }) => StatusDetails::new(format!(
            "your tenant exceeds its rate of calls: retry after {} ms",
            retry_after.as_millis().max(1)
        ))
        .with_retry(*retry_after),
        EdgeRefusal::Quota(OverQuota::InFlight { retry_after, .. }) => {
            StatusDetails::new("your tenant has too many calls in flight: wait until some of them end")
                .with_retry(*retry_after)
        }
        EdgeRefusal::Body { violations } => {
            let listed: Vec<String> =
                violations.iter().map(|(field, problem)| format!("{field} {problem}")).collect();
            violations.iter().fold(StatusDetails::new(listed.join("; ")), |details, (field, problem)| {
                details.with_bad_field(field, problem)
            })
        }
    }
}

/// The details of a rejection after authentication; they name the tenant if it exceeds its quota.
pub(super) fn tenant_refusal_details(refusal: &EdgeRefusal, tenant: &TenantId) -> StatusDetails {
    let details = refusal_details(refusal);
    let EdgeRefusal::Quota(over) = refusal else { return details };
    let what = match over {
        OverQuota::Rate { .. } => "calls per second",
        OverQuota::InFlight { .. } => "calls in flight",
    };
    details.with_quota(&format!("tenant:{tenant}"), what).with("tenant_id", tenant)
}
