//! The checks before a change, and the causes of refusals after one.

use super::*;
use crate::{
    domain::{
        association::UnresolvedLocation,
        diagnosis::{CheckName, Diagnosis, Outcome, Verdict},
        key::KeyState,
        policy_simulation::SimulationDecision,
        request::CheckRequest,
    },
    testing::{ACCOUNT, REGION},
};

const OWN_ACCOUNT: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}"#;
const OPEN: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"logs.eu-west-1.amazonaws.com"},"Action":"kms:*","Resource":"*"}]}"#;

pub(super) const BOTH: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"},{"Effect":"Allow","Principal":{"Service":"logs.eu-west-1.amazonaws.com"},"Action":"kms:*","Resource":"*"}]}"#;

impl TestEnv {
    async fn check(&self, group: &str, key: &str) -> Diagnosis {
        let call = call(Action::CheckKeyAssociation, TIMEOUT);
        let request = CheckRequest { resource: on(group), key: key.parse().unwrap() };
        check(self.cx(call, principal("acme", &["logkey:read"])), request).await.unwrap()
    }
}

fn outcome(diagnosis: &Diagnosis, name: CheckName) -> Option<Outcome> {
    diagnosis.checks.iter().find(|check| check.name == name).map(|check| check.outcome)
}

fn refused_with(refusal: Refusal) -> UpstreamError {
    let answer =
        AwsErrorDetails { code: "AccessDeniedException".into(), message: "no".into(), request_id: None };
    UpstreamError::Refused { refusal, answer }
}

#[tokio::test(start_paused = true)]
async fn a_diagnosis_changes_nothing_and_names_the_checks_that_were_not_made() {
    let env = env();
    env.aws.set_key_policies(BOTH);
    let diagnosis = env.check("/app/web", KEY).await;
    assert_eq!(env.aws.calls(), []);
    assert_eq!(diagnosis.verdict(), Verdict::Uncertain, "{diagnosis:#?}");
    let unchecked: Vec<CheckName> = diagnosis
        .checks
        .iter()
        .filter(|check| check.outcome == Outcome::NotChecked)
        .map(|check| check.name)
        .collect();
    assert_eq!(unchecked, [CheckName::RoleKmsPermission, CheckName::RoleLogsPermission]);
    assert_eq!(diagnosis.key, Some(KEY.parse().unwrap()));
    assert_eq!(env.kinds(), []);
}

#[tokio::test(start_paused = true)]
async fn a_diagnosis_passes_or_fails_as_iam_simulates_the_role() {
    let env = env();
    env.aws.set_key_policies(BOTH);
    env.aws.set_simulation("", SimulationDecision::Allowed);
    let diagnosis = env.check("/app/web", KEY).await;
    assert_eq!(diagnosis.verdict(), Verdict::Ok, "{diagnosis:#?}");
    for (actions, name, reason) in [
        ("kms:GenerateDataKey", CheckName::RoleKmsPermission, Reason::RoleLacksKmsPermission),
        ("logs:AssociateKmsKey", CheckName::RoleLogsPermission, Reason::RoleLacksLogsPermission),
    ] {
        env.aws.set_simulation(actions, SimulationDecision::NotAllowed);
        let diagnosis = env.check("/app/web", KEY).await;
        assert_eq!(diagnosis.verdict(), Verdict::WouldFail);
        assert_eq!(outcome(&diagnosis, name), Some(Outcome::Failed(reason)), "{diagnosis:#?}");
        env.aws.set_simulation(actions, SimulationDecision::DeniedByOrganization);
        let diagnosis = env.check("/app/web", KEY).await;
        assert_eq!(outcome(&diagnosis, name), Some(Outcome::Failed(Reason::DeniedByOrganization)));
    }
    assert_eq!(env.aws.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_simulation_finds_the_cause_that_the_refusal_does_not_name() {
    for (refusal, actions, decision, reason) in [
        (
            Refusal::KeyMissingOrNotAllowed,
            "kms:",
            SimulationDecision::NotAllowed,
            Reason::RoleLacksKmsPermission,
        ),
        (Refusal::Other, "kms:", SimulationDecision::Denied, Reason::RoleLacksKmsPermission),
        (Refusal::Other, "logs:", SimulationDecision::NotAllowed, Reason::RoleLacksLogsPermission),
        (Refusal::Other, "logs:", SimulationDecision::DeniedByOrganization, Reason::DeniedByOrganization),
        (
            Refusal::Denied(AccessDenial::of(DeniedAction::Kms)),
            "kms:",
            SimulationDecision::DeniedByOrganization,
            Reason::DeniedByOrganization,
        ),
        (
            Refusal::Denied(AccessDenial::of(DeniedAction::Logs)),
            "logs:",
            SimulationDecision::Denied,
            Reason::RoleLacksLogsPermission,
        ),
    ] {
        let env = env();
        env.aws.set_key_policies(BOTH);
        env.aws.set_simulation(actions, decision);
        env.aws.answer(refused_with(refusal));
        let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{refusal:?} {actions} {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_remedy_is_the_key_policy_if_only_it_does_not_allow_the_role() {
    let env = env();
    env.aws.set_key_policies(OPEN);
    env.aws.set_simulation("", SimulationDecision::Allowed);
    env.aws.answer(refused_with(Refusal::Denied(AccessDenial::of(DeniedAction::Kms))));
    let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::RoleLacksKmsPermission);
    let Error::Aws(AwsCallError::Diagnosed { cause, .. }) = error else { panic!("{error:?}") };
    assert!(cause.remedy.contains("kms:PutKeyPolicy"), "{cause:?}");
}

#[tokio::test(start_paused = true)]
async fn every_permission_is_tried_or_simulated() {
    let env = env();
    let run_test = async || {
        let call = call(Action::TestAccess, TIMEOUT);
        let principal = principal("acme", &["logkey:read"]);
        test_access(env.cx(call, principal), UnresolvedLocation::default()).await.unwrap()
    };
    let names = [
        CheckName::RoleAssumable,
        CheckName::RoleReadPermission,
        CheckName::RoleKeyReadPermission,
        CheckName::RoleKmsPermission,
        CheckName::RoleLogsPermission,
        CheckName::RoleNeedsExternalId,
    ];
    let unsimulated = run_test().await;
    assert_eq!(unsimulated.checks.iter().map(|check| check.name).collect::<Vec<_>>(), names);
    assert_eq!(unsimulated.verdict(), Verdict::Uncertain, "{unsimulated:#?}");
    env.aws.set_simulation("", SimulationDecision::Allowed);
    assert_eq!(run_test().await.verdict(), Verdict::Ok);
    for (actions, name, statement) in [
        ("kms:GetKeyPolicy", CheckName::RoleKeyReadPermission, "LookAtKeys"),
        ("kms:Encrypt", CheckName::RoleKmsPermission, "UseKeysThroughCloudWatchLogs"),
        ("logs:DisassociateKmsKey", CheckName::RoleLogsPermission, "SetKeysOfLogGroups"),
    ] {
        env.aws.set_simulation(actions, SimulationDecision::NotAllowed);
        let diagnosis = run_test().await;
        let cause = diagnosis.cause().unwrap();
        assert_eq!(cause.name, name);
        assert!(cause.document.as_deref().unwrap().contains(statement), "{cause:?}");
    }
    assert_eq!(env.aws.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_diagnosis_reports_every_failed_check_at_once() {
    let env = env();
    env.aws.set_key_policies(OWN_ACCOUNT);
    env.aws.set_keys(KeyState::Disabled);
    let diagnosis = env.check("/app/none", KEY).await;
    assert_eq!(diagnosis.verdict(), Verdict::WouldFail);
    for (name, reason) in [
        (CheckName::LogGroupExists, Reason::LogGroupNotFound),
        (CheckName::KeyState, Reason::KeyDisabled),
        (CheckName::KeyPolicy, Reason::KeyPolicyLacksLogsService),
    ] {
        assert_eq!(outcome(&diagnosis, name), Some(Outcome::Failed(reason)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_granted_looks_like_one_that_does_not_exist() {
    let env = env();
    let missing = env.check("/app/web", "alias/none").await;
    let foreign = env.check("/app/web", &format!("arn:aws:kms:{REGION}:444455556666:key/k")).await;
    for diagnosis in [missing, foreign] {
        let reason = Reason::KeyNotFound;
        assert_eq!(
            outcome(&diagnosis, CheckName::KeyExists),
            Some(Outcome::Failed(reason)),
            "{diagnosis:#?}"
        );
        assert_eq!(diagnosis.key, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_in_another_region_fails_its_check_without_a_call_to_aws() {
    let diagnosis = env().check("/app/web", &format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/k")).await;
    assert_eq!(outcome(&diagnosis, CheckName::KeyRegion), Some(Outcome::Failed(Reason::KeyRegionMismatch)));
}

#[tokio::test(start_paused = true)]
async fn a_log_group_that_is_not_granted_cannot_be_checked() {
    let env = env();
    let call = call(Action::CheckKeyAssociation, TIMEOUT);
    let request = CheckRequest { resource: on("/other/x"), key: KEY.parse().unwrap() };
    let error = check(env.cx(call, principal("acme", &["logkey:read"])), request).await.unwrap_err();
    assert_eq!(error.reason(), Reason::LogGroupNotFound);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_returned_and_recorded_with_its_cause() {
    for (policy, state, reason) in [
        (Some(OWN_ACCOUNT), KeyState::Enabled, Reason::KeyPolicyLacksLogsService),
        (Some(OWN_ACCOUNT), KeyState::Disabled, Reason::KeyDisabled),
        (Some(BOTH), KeyState::PendingDeletion, Reason::KeyPendingDeletion),
        (None, KeyState::Enabled, Reason::KeyPolicyLacksLogsService),
    ] {
        let env = env();
        env.aws.set_keys(state.clone());
        if let Some(policy) = policy {
            env.aws.set_key_policies(policy);
        }
        env.aws.answer(refused_with(Refusal::KeyMissingOrNotAllowed));
        let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{state:?} {error:?}");
        assert_eq!(env.kinds(), [(Kind::Intent, None), (Kind::Outcome, Some(reason))]);
        assert_eq!(env.aws.calls().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_a_missing_permission_contains_the_statement_to_add() {
    for (refusal, reason, needle) in [
        (
            Refusal::Denied(AccessDenial::of(DeniedAction::Kms)),
            Reason::RoleLacksKmsPermission,
            "kms:ViaService",
        ),
        (
            Refusal::Denied(AccessDenial::of(DeniedAction::Logs)),
            Reason::RoleLacksLogsPermission,
            "logs:AssociateKmsKey",
        ),
    ] {
        let env = env();
        env.aws.answer(refused_with(refusal));
        let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
        assert_eq!(error.reason(), reason);
        let Error::Aws(AwsCallError::Diagnosed { cause, .. }) = error else { panic!("{error:?}") };
        assert!(cause.document.unwrap().contains(needle));
    }
}
