use serde_json::{Value, json};

use super::*;
use crate::domain::{
    association::{Location, Target},
    diagnosis::{Outcome, role_logs},
    policy_simulation::ASSOCIATE,
};

const ROLE: &str = "arn:aws:iam::111122223333:role/LogKeyAssociator";
const ROOT: &str = "arn:aws:iam::111122223333:root";

fn resource() -> Resource {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    Resource { location, target: Target::LogGroup("/app/web".parse().unwrap()) }
}

fn key(account: &str) -> KmsKeyArn {
    format!("arn:aws:kms:eu-west-1:{account}:key/k").parse().unwrap()
}

fn policy(principal: &str) -> Lookup<Box<str>> {
    let statement =
        json!({ "Effect": "Allow", "Principal": { "AWS": principal }, "Action": "kms:*", "Resource": "*" });
    Lookup::Found(json!({ "Statement": statement }).to_string().into())
}

fn unreadable() -> Lookup<Box<str>> {
    Lookup::Unknown("the role may not read it".to_owned())
}

/// A simulation in which every action of the role with the key has `decision` and lacks these context keys.
fn simulated(
    key: &KmsKeyArn,
    decision: SimulationDecision,
    missing: &[&str],
) -> Lookup<Vec<SimulationResult>> {
    let simulated = REQUIRED_ACTIONS.map(|action| SimulationResult {
        action: action.into(),
        resource: key.as_str().into(),
        decision,
        missing: missing.iter().map(|key| (*key).into()).collect(),
    });
    Lookup::Found(simulated.into())
}

fn kms(account: &str, policy: &Lookup<Box<str>>, decision: SimulationDecision) -> Check {
    let key = key(account);
    kms_of(&key, policy, &simulated(&key, decision, &[]))
}

fn kms_of(key: &KmsKeyArn, policy: &Lookup<Box<str>>, simulated: &Lookup<Vec<SimulationResult>>) -> Check {
    let (role, resource) = (ROLE.parse().unwrap(), resource());
    role_kms(Kms { role: &role, key, resource: &resource }, policy, simulated)
}

#[test]
fn the_role_or_the_key_policy_can_allow_a_key_of_the_same_account() {
    let (own, lacks) = ("111122223333", Reason::RoleLacksKmsPermission);
    let organization = Outcome::Failed(Reason::DeniedByOrganization);
    let failed = Outcome::Failed(lacks);
    for (policy, decision, outcome) in [
        (policy(ROOT), SimulationDecision::Allowed, Outcome::Passed),
        (policy(ROOT), SimulationDecision::NotAllowed, failed),
        (policy(ROOT), SimulationDecision::Denied, failed),
        (policy(ROOT), SimulationDecision::DeniedByOrganization, organization),
        (policy(ROLE), SimulationDecision::NotAllowed, Outcome::Passed),
        (policy(ROLE), SimulationDecision::Denied, failed),
        (policy("arn:aws:iam::444455556666:root"), SimulationDecision::Allowed, failed),
        (unreadable(), SimulationDecision::Allowed, Outcome::NotChecked),
        (unreadable(), SimulationDecision::NotAllowed, Outcome::NotChecked),
        (unreadable(), SimulationDecision::Denied, failed),
        (Lookup::Absent, SimulationDecision::Allowed, Outcome::NotChecked),
        (Lookup::Found("no policy".into()), SimulationDecision::Allowed, Outcome::NotChecked),
    ] {
        let check = kms(own, &policy, decision);
        assert_eq!(check.outcome, outcome, "{decision:?}: {check:?}");
    }
}

#[test]
fn only_a_denial_is_conclusive_for_a_key_of_another_account() {
    for (decision, outcome) in [
        (SimulationDecision::Allowed, Outcome::NotChecked),
        (SimulationDecision::NotAllowed, Outcome::Failed(Reason::RoleLacksKmsPermission)),
        (SimulationDecision::Denied, Outcome::Failed(Reason::RoleLacksKmsPermission)),
    ] {
        assert_eq!(kms("444455556666", &unreadable(), decision).outcome, outcome, "{decision:?}");
    }
}

#[test]
fn a_decision_that_depends_on_the_call_is_not_checked() {
    let key = key("111122223333");
    for decision in [SimulationDecision::Allowed, SimulationDecision::NotAllowed, SimulationDecision::Denied]
    {
        let check = kms_of(&key, &policy(ROOT), &simulated(&key, decision, &["aws:SourceIp"]));
        assert_eq!(check.outcome, Outcome::NotChecked, "{decision:?}");
        assert!(check.detail.contains("aws:SourceIp"), "{check:?}");
    }
    let other = kms_of(&key, &policy(ROOT), &simulated(&key, SimulationDecision::Allowed, &["s3:prefix"]));
    assert_eq!(other.outcome, Outcome::Passed, "no call to KMS has this key");
    let Lookup::Found(mut incomplete) = simulated(&key, SimulationDecision::Allowed, &[]) else { panic!() };
    incomplete.pop();
    assert_eq!(kms_of(&key, &policy(ROOT), &Lookup::Found(incomplete)).outcome, Outcome::NotChecked);
}

#[test]
fn a_role_that_may_not_simulate_gets_the_statement_to_add() {
    let check = kms_of(&key("111122223333"), &policy(ROOT), &Lookup::Unknown("AWS refused it".to_owned()));
    assert_eq!(check.outcome, Outcome::NotChecked);
    let offered: Value = serde_json::from_str(check.document.as_deref().unwrap()).unwrap();
    assert_eq!(
        (&offered["Action"], &offered["Resource"]),
        (&json!("iam:SimulatePrincipalPolicy"), &json!(ROLE))
    );
    let other_account = policy("arn:aws:iam::444455556666:root");
    let check = kms_of(&key("111122223333"), &other_account, &Lookup::Unknown("AWS refused it".to_owned()));
    assert_eq!(check.reason(), Some(Reason::RoleLacksKmsPermission), "the key's policy alone proves it");
}

#[test]
fn the_offered_key_policy_statement_lets_the_role_use_the_key() {
    let key = key("111122223333");
    let other = policy("arn:aws:iam::444455556666:root");
    let before = kms_of(&key, &other, &simulated(&key, SimulationDecision::NotAllowed, &[]));
    let offered: Value = serde_json::from_str(before.document.as_deref().unwrap()).unwrap();
    let repaired = Lookup::Found(json!({ "Statement": offered }).to_string().into());
    assert_eq!(
        kms_of(&key, &repaired, &simulated(&key, SimulationDecision::NotAllowed, &[])).outcome,
        Outcome::Passed
    );
}

#[test]
fn the_finding_names_every_missing_action() {
    let key = key("111122223333");
    let Lookup::Found(mut simulated) = simulated(&key, SimulationDecision::Allowed, &[]) else { panic!() };
    simulated[0].decision = SimulationDecision::NotAllowed;
    simulated[4].decision = SimulationDecision::NotAllowed;
    let check = kms_of(&key, &policy(ROOT), &Lookup::Found(simulated));
    assert_eq!(check.detail, "no policy of the role allows kms:Encrypt, kms:GenerateDataKey");
}

#[test]
fn both_forms_of_a_log_groups_arn_are_evaluated() {
    let (plain, with_suffix) = (resource().arn().to_string(), format!("{}:log-stream:", resource().arn()));
    let check = |decisions: [(&str, SimulationDecision); 2]| {
        let simulated = decisions.map(|(resource, decision)| SimulationResult {
            action: ASSOCIATE.into(),
            resource: resource.into(),
            decision,
            missing: Vec::new(),
        });
        role_logs(&ROLE.parse().unwrap(), &resource(), ASSOCIATE, &Lookup::Found(simulated.into())).outcome
    };
    let failed = Outcome::Failed(Reason::RoleLacksLogsPermission);
    for (one, other, outcome) in [
        (SimulationDecision::Allowed, SimulationDecision::Allowed, Outcome::Passed),
        (SimulationDecision::Allowed, SimulationDecision::NotAllowed, Outcome::NotChecked),
        (SimulationDecision::NotAllowed, SimulationDecision::Allowed, Outcome::NotChecked),
        (SimulationDecision::NotAllowed, SimulationDecision::NotAllowed, failed),
        (SimulationDecision::Allowed, SimulationDecision::Denied, failed),
        (
            SimulationDecision::DeniedByOrganization,
            SimulationDecision::Allowed,
            Outcome::Failed(Reason::DeniedByOrganization),
        ),
    ] {
        assert_eq!(check([(&plain, one), (&with_suffix, other)]), outcome, "{one:?} {other:?}");
    }
}

#[test]
fn a_condition_key_that_the_call_never_has_does_not_hinder_the_check() {
    let key = key("111122223333");
    let check = |missing: &[&str]| {
        kms_of(&key, &policy(ROOT), &simulated(&key, SimulationDecision::Allowed, missing)).outcome
    };
    assert_eq!(check(&["aws:SourceArn", "kms:GrantIsForAWSResource", "aws:TagKeys"]), Outcome::Passed);
    for unknown in ["aws:PrincipalTag/team", "aws:SourceIp", "kms:ResourceAliases"] {
        assert_eq!(check(&[unknown]), Outcome::NotChecked, "{unknown}");
    }
}
