use serde_json::{Value, json};

use super::*;
use crate::domain::{association::Place, diagnosis::Outcome, simulation::ASSOCIATE};

const ROLE: &str = "arn:aws:iam::111122223333:role/LogKeyAssociator";
const ROOT: &str = "arn:aws:iam::111122223333:root";

fn resource() -> Resource {
    let place = Place { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    Resource { place, target: Target::LogGroup("/app/web".parse().unwrap()) }
}

fn key(account: &str) -> KmsKeyArn {
    format!("arn:aws:kms:eu-west-1:{account}:key/k").parse().unwrap()
}

fn policy(principal: &str) -> Look<Box<str>> {
    let statement =
        json!({ "Effect": "Allow", "Principal": { "AWS": principal }, "Action": "kms:*", "Resource": "*" });
    Look::Found(json!({ "Statement": statement }).to_string().into())
}

fn closed() -> Look<Box<str>> {
    Look::Unknown("the role may not read it".to_owned())
}

/// What IAM says of everything the role does with the key: `ruling`, with these context keys missing.
fn simulated(key: &KmsKeyArn, ruling: Ruling, missing: &[&str]) -> Look<Vec<Simulated>> {
    let told = NEEDED.map(|action| Simulated {
        action: action.into(),
        resource: key.as_str().into(),
        ruling,
        missing: missing.iter().map(|key| (*key).into()).collect(),
    });
    Look::Found(told.into())
}

fn kms(account: &str, policy: &Look<Box<str>>, ruling: Ruling) -> Check {
    let key = key(account);
    kms_of(&key, policy, &simulated(&key, ruling, &[]))
}

fn kms_of(key: &KmsKeyArn, policy: &Look<Box<str>>, simulated: &Look<Vec<Simulated>>) -> Check {
    let (role, resource) = (ROLE.parse().unwrap(), resource());
    role_kms(Kms { role: &role, key, resource: &resource }, policy, simulated)
}

#[test]
fn a_key_of_ones_own_account_is_for_the_roles_policies_or_for_the_keys_to_give() {
    let (own, lacks) = ("111122223333", Reason::RoleLacksKmsPermission);
    let organization = Outcome::Failed(Reason::DeniedByOrganization);
    let failed = Outcome::Failed(lacks);
    for (policy, ruling, outcome) in [
        (policy(ROOT), Ruling::Allowed, Outcome::Passed),
        (policy(ROOT), Ruling::NotAllowed, failed),
        (policy(ROOT), Ruling::Denied, failed),
        (policy(ROOT), Ruling::DeniedByOrganization, organization),
        (policy(ROLE), Ruling::NotAllowed, Outcome::Passed),
        (policy(ROLE), Ruling::Denied, failed),
        (policy("arn:aws:iam::444455556666:root"), Ruling::Allowed, failed),
        (closed(), Ruling::Allowed, Outcome::NotChecked),
        (closed(), Ruling::NotAllowed, Outcome::NotChecked),
        (closed(), Ruling::Denied, failed),
        (Look::Absent, Ruling::Allowed, Outcome::NotChecked),
        (Look::Found("no policy".into()), Ruling::Allowed, Outcome::NotChecked),
    ] {
        let check = kms(own, &policy, ruling);
        assert_eq!(check.outcome, outcome, "{ruling:?}: {check:?}");
    }
}

#[test]
fn of_another_accounts_key_only_a_refusal_by_the_role_is_known() {
    for (ruling, outcome) in [
        (Ruling::Allowed, Outcome::NotChecked),
        (Ruling::NotAllowed, Outcome::Failed(Reason::RoleLacksKmsPermission)),
        (Ruling::Denied, Outcome::Failed(Reason::RoleLacksKmsPermission)),
    ] {
        assert_eq!(kms("444455556666", &closed(), ruling).outcome, outcome, "{ruling:?}");
    }
}

#[test]
fn what_depends_on_the_call_itself_is_not_checked() {
    let key = key("111122223333");
    for ruling in [Ruling::Allowed, Ruling::NotAllowed, Ruling::Denied] {
        let check = kms_of(&key, &policy(ROOT), &simulated(&key, ruling, &["aws:SourceIp"]));
        assert_eq!(check.outcome, Outcome::NotChecked, "{ruling:?}");
        assert!(check.detail.contains("aws:SourceIp"), "{check:?}");
    }
    let elsewhere = kms_of(&key, &policy(ROOT), &simulated(&key, Ruling::Allowed, &["s3:prefix"]));
    assert_eq!(elsewhere.outcome, Outcome::Passed, "no call of KMS has it");
    let Look::Found(mut less) = simulated(&key, Ruling::Allowed, &[]) else { panic!() };
    less.pop();
    assert_eq!(kms_of(&key, &policy(ROOT), &Look::Found(less)).outcome, Outcome::NotChecked);
}

#[test]
fn a_role_that_may_not_ask_is_told_what_lets_it() {
    let check = kms_of(&key("111122223333"), &policy(ROOT), &Look::Unknown("AWS said no".to_owned()));
    assert_eq!(check.outcome, Outcome::NotChecked);
    let offered: Value = serde_json::from_str(check.document.as_deref().unwrap()).unwrap();
    assert_eq!(
        (&offered["Action"], &offered["Resource"]),
        (&json!("iam:SimulatePrincipalPolicy"), &json!(ROLE))
    );
    let left_out = policy("arn:aws:iam::444455556666:root");
    let check = kms_of(&key("111122223333"), &left_out, &Look::Unknown("AWS said no".to_owned()));
    assert_eq!(check.reason(), Some(Reason::RoleLacksKmsPermission), "the key's policy alone proves it");
}

#[test]
fn the_statement_for_a_keys_policy_lets_the_role_in() {
    let key = key("111122223333");
    let other = policy("arn:aws:iam::444455556666:root");
    let before = kms_of(&key, &other, &simulated(&key, Ruling::NotAllowed, &[]));
    let offered: Value = serde_json::from_str(before.document.as_deref().unwrap()).unwrap();
    let mended = Look::Found(json!({ "Statement": offered }).to_string().into());
    assert_eq!(kms_of(&key, &mended, &simulated(&key, Ruling::NotAllowed, &[])).outcome, Outcome::Passed);
}

#[test]
fn every_action_that_is_missing_is_named() {
    let key = key("111122223333");
    let Look::Found(mut told) = simulated(&key, Ruling::Allowed, &[]) else { panic!() };
    told[0].ruling = Ruling::NotAllowed;
    told[4].ruling = Ruling::NotAllowed;
    let check = kms_of(&key, &policy(ROOT), &Look::Found(told));
    assert_eq!(check.detail, "no policy of the role allows it kms:Encrypt, kms:GenerateDataKey");
}

#[test]
fn a_log_group_is_asked_about_in_both_its_spellings() {
    let (bare, inside) = (resource().arn().to_string(), format!("{}:log-stream:", resource().arn()));
    let check = |rulings: [(&str, Ruling); 2]| {
        let told = rulings.map(|(resource, ruling)| Simulated {
            action: ASSOCIATE.into(),
            resource: resource.into(),
            ruling,
            missing: Vec::new(),
        });
        role_logs(&ROLE.parse().unwrap(), &resource(), ASSOCIATE, &Look::Found(told.into())).outcome
    };
    let failed = Outcome::Failed(Reason::RoleLacksLogsPermission);
    for (one, other, outcome) in [
        (Ruling::Allowed, Ruling::Allowed, Outcome::Passed),
        (Ruling::Allowed, Ruling::NotAllowed, Outcome::NotChecked),
        (Ruling::NotAllowed, Ruling::Allowed, Outcome::NotChecked),
        (Ruling::NotAllowed, Ruling::NotAllowed, failed),
        (Ruling::Allowed, Ruling::Denied, failed),
        (Ruling::DeniedByOrganization, Ruling::Allowed, Outcome::Failed(Reason::DeniedByOrganization)),
    ] {
        assert_eq!(check([(&bare, one), (&inside, other)]), outcome, "{one:?} {other:?}");
    }
}
