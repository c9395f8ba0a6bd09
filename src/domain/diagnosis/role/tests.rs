use serde_json::{Value, json};

use super::*;
use crate::domain::{association::Location, diagnosis::Outcome, policy_simulation::ASSOCIATE};

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

fn closed() -> Lookup<Box<str>> {
    Lookup::Unknown("the role may not read it".to_owned())
}

/// What IAM says of everything the role does with the key: `ruling`, with these context keys missing.
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
fn a_key_of_ones_own_account_is_for_the_roles_policies_or_for_the_keys_to_give() {
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
        (closed(), SimulationDecision::Allowed, Outcome::NotChecked),
        (closed(), SimulationDecision::NotAllowed, Outcome::NotChecked),
        (closed(), SimulationDecision::Denied, failed),
        (Lookup::Absent, SimulationDecision::Allowed, Outcome::NotChecked),
        (Lookup::Found("no policy".into()), SimulationDecision::Allowed, Outcome::NotChecked),
    ] {
        let check = kms(own, &policy, decision);
        assert_eq!(check.outcome, outcome, "{decision:?}: {check:?}");
    }
}

#[test]
fn of_another_accounts_key_only_a_refusal_by_the_role_is_known() {
    for (decision, outcome) in [
        (SimulationDecision::Allowed, Outcome::NotChecked),
        (SimulationDecision::NotAllowed, Outcome::Failed(Reason::RoleLacksKmsPermission)),
        (SimulationDecision::Denied, Outcome::Failed(Reason::RoleLacksKmsPermission)),
    ] {
        assert_eq!(kms("444455556666", &closed(), decision).outcome, outcome, "{decision:?}");
    }
}

#[test]
fn what_depends_on_the_call_itself_is_not_checked() {
    let key = key("111122223333");
    for decision in [SimulationDecision::Allowed, SimulationDecision::NotAllowed, SimulationDecision::Denied]
    {
        let check = kms_of(&key, &policy(ROOT), &simulated(&key, decision, &["aws:SourceIp"]));
        assert_eq!(check.outcome, Outcome::NotChecked, "{decision:?}");
        assert!(check.detail.contains("aws:SourceIp"), "{check:?}");
    }
    let other = kms_of(&key, &policy(ROOT), &simulated(&key, SimulationDecision::Allowed, &["s3:prefix"]));
    assert_eq!(other.outcome, Outcome::Passed, "no call of KMS has it");
    let Lookup::Found(mut less) = simulated(&key, SimulationDecision::Allowed, &[]) else { panic!() };
    less.pop();
    assert_eq!(kms_of(&key, &policy(ROOT), &Lookup::Found(less)).outcome, Outcome::NotChecked);
}

#[test]
fn a_role_that_may_not_ask_is_told_what_lets_it() {
    let check = kms_of(&key("111122223333"), &policy(ROOT), &Lookup::Unknown("AWS said no".to_owned()));
    assert_eq!(check.outcome, Outcome::NotChecked);
    let offered: Value = serde_json::from_str(check.document.as_deref().unwrap()).unwrap();
    assert_eq!(
        (&offered["Action"], &offered["Resource"]),
        (&json!("iam:SimulatePrincipalPolicy"), &json!(ROLE))
    );
    let left_out = policy("arn:aws:iam::444455556666:root");
    let check = kms_of(&key("111122223333"), &left_out, &Lookup::Unknown("AWS said no".to_owned()));
    assert_eq!(check.reason(), Some(Reason::RoleLacksKmsPermission), "the key's policy alone proves it");
}

#[test]
fn the_statement_for_a_keys_policy_lets_the_role_in() {
    let key = key("111122223333");
    let other = policy("arn:aws:iam::444455556666:root");
    let before = kms_of(&key, &other, &simulated(&key, SimulationDecision::NotAllowed, &[]));
    let offered: Value = serde_json::from_str(before.document.as_deref().unwrap()).unwrap();
    let mended = Lookup::Found(json!({ "Statement": offered }).to_string().into());
    assert_eq!(
        kms_of(&key, &mended, &simulated(&key, SimulationDecision::NotAllowed, &[])).outcome,
        Outcome::Passed
    );
}

#[test]
fn every_action_that_is_missing_is_named() {
    let key = key("111122223333");
    let Lookup::Found(mut simulated) = simulated(&key, SimulationDecision::Allowed, &[]) else { panic!() };
    simulated[0].decision = SimulationDecision::NotAllowed;
    simulated[4].decision = SimulationDecision::NotAllowed;
    let check = kms_of(&key, &policy(ROOT), &Lookup::Found(simulated));
    assert_eq!(check.detail, "no policy of the role allows it kms:Encrypt, kms:GenerateDataKey");
}

#[test]
fn a_log_group_is_asked_about_in_both_its_spellings() {
    let (bare, inside) = (resource().arn().to_string(), format!("{}:log-stream:", resource().arn()));
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
        assert_eq!(check([(&bare, one), (&inside, other)]), outcome, "{one:?} {other:?}");
    }
}
