//! Diagnoses before a change, and the causes of refusals after one.

use super::*;
use crate::{
    domain::{
        ask::AskCheck,
        association::UnresolvedPlace,
        diagnosis::{Diagnosis, Name, Outcome, Verdict},
        key::KeyState,
        simulation::Ruling,
    },
    testing::{ACCOUNT, REGION},
};

const OWN_ACCOUNT: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}"#;
const OPEN: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"logs.eu-west-1.amazonaws.com"},"Action":"kms:*","Resource":"*"}]}"#;

const BOTH: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"},{"Effect":"Allow","Principal":{"Service":"logs.eu-west-1.amazonaws.com"},"Action":"kms:*","Resource":"*"}]}"#;

impl World {
    async fn check(&self, group: &str, key: &str) -> Diagnosis {
        let call = call(Action::CheckKeyAssociation, PATIENCE);
        let ask = AskCheck { resource: on(group), key: key.parse().unwrap() };
        self.broker.check(&call, &principal("acme", &["logkey:read"]), ask).await.unwrap()
    }
}

fn outcome(diagnosis: &Diagnosis, name: Name) -> Option<Outcome> {
    diagnosis.checks.iter().find(|check| check.name == name).map(|check| check.outcome)
}

fn refused(refusal: Refusal) -> UpstreamError {
    let answer = AwsAnswer { code: "AccessDeniedException".into(), message: "no".into(), request_id: None };
    UpstreamError::Refused { refusal, answer }
}

#[tokio::test(start_paused = true)]
async fn a_check_changes_nothing_and_names_what_it_could_not_see() {
    let world = world();
    world.aws.key_policies_are(BOTH);
    let diagnosis = world.check("/app/web", KEY).await;
    assert_eq!(world.aws.seen(), []);
    assert_eq!(diagnosis.verdict(), Verdict::Uncertain, "{diagnosis:#?}");
    let unchecked: Vec<Name> = diagnosis
        .checks
        .iter()
        .filter(|check| check.outcome == Outcome::NotChecked)
        .map(|check| check.name)
        .collect();
    assert_eq!(unchecked, [Name::RoleKmsPermission, Name::RoleLogsPermission]);
    assert_eq!(diagnosis.key, Some(KEY.parse().unwrap()));
    assert_eq!(world.kinds(), []);
}

#[tokio::test(start_paused = true)]
async fn where_the_role_may_have_itself_checked_a_good_check_ends_well() {
    let world = world();
    world.aws.key_policies_are(BOTH);
    world.aws.simulates("", Ruling::Allowed);
    let diagnosis = world.check("/app/web", KEY).await;
    assert_eq!(diagnosis.verdict(), Verdict::Ok, "{diagnosis:#?}");
    for (actions, name, reason) in [
        ("kms:GenerateDataKey", Name::RoleKmsPermission, Reason::RoleLacksKmsPermission),
        ("logs:AssociateKmsKey", Name::RoleLogsPermission, Reason::RoleLacksLogsPermission),
    ] {
        world.aws.simulates(actions, Ruling::NotAllowed);
        let diagnosis = world.check("/app/web", KEY).await;
        assert_eq!(diagnosis.verdict(), Verdict::WouldFail);
        assert_eq!(outcome(&diagnosis, name), Some(Outcome::Failed(reason)), "{diagnosis:#?}");
        world.aws.simulates(actions, Ruling::DeniedByOrganization);
        let diagnosis = world.check("/app/web", KEY).await;
        assert_eq!(outcome(&diagnosis, name), Some(Outcome::Failed(Reason::DeniedByOrganization)));
    }
    assert_eq!(world.aws.seen(), []);
}

#[tokio::test(start_paused = true)]
async fn what_aws_leaves_open_is_proved_by_the_roles_own_policies() {
    for (refusal, actions, ruling, reason) in [
        (Refusal::KeyMissingOrNotAllowed, "kms:", Ruling::NotAllowed, Reason::RoleLacksKmsPermission),
        (Refusal::Other, "kms:", Ruling::Denied, Reason::RoleLacksKmsPermission),
        (Refusal::Other, "logs:", Ruling::NotAllowed, Reason::RoleLacksLogsPermission),
        (Refusal::Other, "logs:", Ruling::DeniedByOrganization, Reason::DeniedByOrganization),
        (Refusal::RoleLacksKms, "kms:", Ruling::DeniedByOrganization, Reason::DeniedByOrganization),
        (Refusal::RoleLacksLogs, "logs:", Ruling::Denied, Reason::RoleLacksLogsPermission),
        (Refusal::KeyMissingOrNotAllowed, "kms:", Ruling::Allowed, Reason::KeyNotUsable),
    ] {
        let world = world();
        world.aws.key_policies_are(BOTH);
        world.aws.simulates(actions, ruling);
        world.aws.answer(refused(refusal));
        let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{refusal:?} {actions} {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_policy_that_leaves_the_role_out_is_the_cause_of_what_the_role_lacks() {
    let world = world();
    world.aws.key_policies_are(OPEN);
    world.aws.simulates("", Ruling::Allowed);
    world.aws.answer(refused(Refusal::RoleLacksKms));
    let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::RoleLacksKmsPermission);
    let Error::Diagnosed { cause, .. } = error else { panic!("{error:?}") };
    assert!(cause.remedy.contains("kms:PutKeyPolicy"), "{cause:?}");
}

#[tokio::test(start_paused = true)]
async fn every_permission_is_tried_or_simulated() {
    let world = world();
    let try_it = async || {
        let call = call(Action::TestAccess, PATIENCE);
        let who = principal("acme", &["logkey:read"]);
        world.broker.test_access(&call, &who, UnresolvedPlace::default()).await.unwrap()
    };
    let names = [
        Name::RoleAssumable,
        Name::RoleReadPermission,
        Name::RoleKeyReadPermission,
        Name::RoleKmsPermission,
        Name::RoleLogsPermission,
        Name::RoleNeedsExternalId,
    ];
    let blind = try_it().await;
    assert_eq!(blind.checks.iter().map(|check| check.name).collect::<Vec<_>>(), names);
    assert_eq!(blind.verdict(), Verdict::Uncertain, "{blind:#?}");
    world.aws.simulates("", Ruling::Allowed);
    assert_eq!(try_it().await.verdict(), Verdict::Ok);
    for (actions, name, statement) in [
        ("kms:GetKeyPolicy", Name::RoleKeyReadPermission, "LookAtKeys"),
        ("kms:Encrypt", Name::RoleKmsPermission, "UseKeysThroughCloudWatchLogs"),
        ("logs:DisassociateKmsKey", Name::RoleLogsPermission, "SetKeysOfLogGroups"),
    ] {
        world.aws.simulates(actions, Ruling::NotAllowed);
        let diagnosis = try_it().await;
        let cause = diagnosis.cause().unwrap();
        assert_eq!(cause.name, name);
        assert!(cause.document.as_deref().unwrap().contains(statement), "{cause:?}");
    }
    assert_eq!(world.aws.seen(), []);
}

#[tokio::test(start_paused = true)]
async fn a_check_tells_every_flaw_at_once() {
    let world = world();
    world.aws.key_policies_are(OWN_ACCOUNT);
    world.aws.keys_are(KeyState::Disabled);
    let diagnosis = world.check("/app/none", KEY).await;
    assert_eq!(diagnosis.verdict(), Verdict::WouldFail);
    for (name, reason) in [
        (Name::LogGroupExists, Reason::LogGroupNotFound),
        (Name::KeyState, Reason::KeyDisabled),
        (Name::KeyPolicy, Reason::KeyPolicyLacksLogsService),
    ] {
        assert_eq!(outcome(&diagnosis, name), Some(Outcome::Failed(reason)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_granted_looks_like_one_that_is_not_there() {
    let world = world();
    let missing = world.check("/app/web", "alias/none").await;
    let foreign = world.check("/app/web", &format!("arn:aws:kms:{REGION}:444455556666:key/k")).await;
    for diagnosis in [missing, foreign] {
        let reason = Reason::KeyNotFound;
        assert_eq!(outcome(&diagnosis, Name::KeyExists), Some(Outcome::Failed(reason)), "{diagnosis:#?}");
        assert_eq!(diagnosis.key, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_of_another_region_is_told_without_asking() {
    let diagnosis = world().check("/app/web", &format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/k")).await;
    assert_eq!(outcome(&diagnosis, Name::KeyRegion), Some(Outcome::Failed(Reason::KeyRegionMismatch)));
}

#[tokio::test(start_paused = true)]
async fn a_log_group_that_is_not_granted_cannot_be_asked_about() {
    let world = world();
    let call = call(Action::CheckKeyAssociation, PATIENCE);
    let ask = AskCheck { resource: on("/other/x"), key: KEY.parse().unwrap() };
    let error = world.broker.check(&call, &principal("acme", &["logkey:read"]), ask).await.unwrap_err();
    assert_eq!(error.reason(), Reason::LogGroupNotFound);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_and_recorded_with_its_cause() {
    for (policy, state, reason) in [
        (Some(OWN_ACCOUNT), KeyState::Enabled, Reason::KeyPolicyLacksLogsService),
        (Some(OWN_ACCOUNT), KeyState::Disabled, Reason::KeyDisabled),
        (Some(BOTH), KeyState::PendingDeletion, Reason::KeyPendingDeletion),
        (Some(BOTH), KeyState::Enabled, Reason::KeyNotUsable),
        (None, KeyState::Enabled, Reason::KeyPolicyLacksLogsService),
    ] {
        let world = world();
        world.aws.keys_are(state.clone());
        if let Some(policy) = policy {
            world.aws.key_policies_are(policy);
        }
        world.aws.answer(refused(Refusal::KeyMissingOrNotAllowed));
        let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{state:?} {error:?}");
        assert_eq!(world.kinds(), [(Kind::Intent, None), (Kind::Outcome, Some(reason))]);
        assert_eq!(world.aws.seen().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_lacks_rights_is_told_the_statement_it_lacks() {
    for (refusal, reason, needle) in [
        (Refusal::RoleLacksKms, Reason::RoleLacksKmsPermission, "kms:ViaService"),
        (Refusal::RoleLacksLogs, Reason::RoleLacksLogsPermission, "logs:AssociateKmsKey"),
    ] {
        let world = world();
        world.aws.answer(refused(refusal));
        let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
        assert_eq!(error.reason(), reason);
        let Error::Diagnosed { cause, .. } = error else { panic!("{error:?}") };
        assert!(cause.document.unwrap().contains(needle));
    }
}
