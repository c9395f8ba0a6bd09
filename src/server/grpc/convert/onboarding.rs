//! Converts the requests and responses of `GetOnboarding` and `TestAccess`.

use super::{
    check::{check, verdict},
    fields::{Fields, InvalidField},
};
use crate::{
    domain::{association::UnresolvedLocation, aws::AccountId, diagnosis::Diagnosis, onboarding::Onboarding},
    proto,
};

pub(in crate::server) fn onboarding(wire: &proto::GetOnboardingRequest) -> Result<AccountId, InvalidField> {
    let mut fields = Fields::default();
    let account = fields.parse("account_id", &wire.account_id);
    fields.finish()?;
    account.ok_or_else(InvalidField::missing_request)
}

pub(in crate::server) fn onboarding_response(onboarding: &Onboarding) -> proto::GetOnboardingResponse {
    let lines = |statements: &[serde_json::Value]| {
        statements.iter().map(|statement| format!("{statement:#}")).collect()
    };
    proto::GetOnboardingResponse {
        trust_policy: format!("{:#}", onboarding.trust_policy),
        role_policy: format!("{:#}", onboarding.role_policy),
        log_group_key_statements: lines(&onboarding.key_policy_for_log_groups),
        query_results_key_statements: lines(&onboarding.key_policy_for_query_results),
        terraform: onboarding.terraform.clone(),
        cloudformation: format!("{:#}", onboarding.cloudformation),
    }
}

pub(in crate::server) fn test_access(
    wire: &proto::TestAccessRequest,
) -> Result<UnresolvedLocation, InvalidField> {
    let mut fields = Fields::default();
    let location = fields.location(&wire.account_id, &wire.region);
    fields.finish()?;
    Ok(location)
}

pub(in crate::server) fn test_access_response(diagnosis: Diagnosis) -> proto::TestAccessResponse {
    proto::TestAccessResponse {
        verdict: verdict(&diagnosis).into(),
        checks: diagnosis.checks.into_iter().map(check).collect(),
    }
}
