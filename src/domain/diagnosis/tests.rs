use serde_json::{Value, json};

use super::*;
use crate::domain::{
    arn::{KmsKeyArn, KmsKeyId},
    association::{Location, Resource, Target},
    key::{KeyMetadata, KeyState},
    key_policy::{KeyPolicy, PolicyEvaluation},
    reason::Reason,
    remedy,
    time::Timestamp,
};

fn location() -> Location {
    Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() }
}

fn group() -> Resource {
    Resource { location: location(), target: Target::LogGroup("/app/web".parse().unwrap()) }
}

fn queries() -> Resource {
    Resource { location: location(), target: Target::QueryResults }
}

fn arn(account: &str) -> KmsKeyArn {
    format!("arn:aws:kms:eu-west-1:{account}:key/k").parse().unwrap()
}

fn key() -> KeyMetadata {
    KeyMetadata {
        arn: arn("111122223333"),
        state: KeyState::Enabled,
        symmetric: Some(true),
        encrypts: Some(true),
        customer_managed: Some(true),
        deletion: None,
    }
}

fn policy(statements: &Value) -> Lookup<Box<str>> {
    Lookup::Found(json!({ "Statement": statements }).to_string().into())
}

fn reasons(checks: &[Check]) -> Vec<Reason> {
    checks.iter().filter_map(Check::reason).collect()
}

#[test]
fn an_offered_statement_repairs_its_resource_and_no_other() {
    let own = json!({ "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111122223333:root" }, "Action": "kms:*", "Resource": "*" });
    for resource in [group(), queries()] {
        let before = key_policy(&key().arn, &resource, &policy(&own));
        assert_eq!(before.reason(), Some(Reason::KeyPolicyLacksLogsService), "{before:?}");
        let offered: Value = serde_json::from_str(before.document.as_deref().unwrap()).unwrap();
        let after = key_policy(&key().arn, &resource, &policy(&json!([own, offered])));
        assert_eq!(after.outcome, Outcome::Passed, "{after:?}");
        let other = Resource { target: Target::LogGroup("/other".parse().unwrap()), ..resource };
        let evaluated = key_policy(&key().arn, &other, &policy(&json!([own, offered])));
        assert_eq!(evaluated.reason(), Some(Reason::KeyPolicyConditionMismatch), "{evaluated:?}");
    }
}

#[test]
fn the_roles_statement_is_limited_to_the_key_and_the_service() {
    let statement = remedy::role_kms_statement(&key().arn, &group());
    assert_eq!(statement["Resource"], key().arn.as_str());
    assert_eq!(statement["Condition"]["StringEquals"]["kms:ViaService"], "logs.eu-west-1.amazonaws.com");
}

#[test]
fn the_finding_names_the_statement_that_denies() {
    let deny =
        json!({ "Sid": "Freeze", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*" });
    let check = key_policy(&key().arn, &group(), &policy(&deny));
    assert!(check.detail.contains("\"Freeze\""), "{check:?}");
    assert_eq!(check.document, None);
}

#[test]
fn a_statement_that_may_deny_is_named_and_no_statement_is_offered() {
    let allow = remedy::key_policy_statement(&group());
    let deny = json!({ "Sid": "Guard", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*",
        "Condition": { "StringNotEquals": { "aws:SourceOrgID": "o-1" } } });
    let evaluated = key_policy(&key().arn, &group(), &policy(&json!([allow, deny])));
    assert_eq!(evaluated.outcome, Outcome::NotChecked, "{evaluated:?}");
    for check in [refusal_check(&evaluated, &group()), evaluated] {
        assert!(check.detail.contains("\"Guard\"") && check.remedy.contains("exclude"), "{check:?}");
        assert_eq!(check.document, None, "{check:?}");
    }
}

#[test]
fn a_policy_that_cannot_be_read_is_not_checked() {
    let unreadable = Lookup::Unknown("the role may not read it".to_owned());
    for (arn, lookup) in [
        (arn("111122223333"), unreadable.clone()),
        (arn("444455556666"), unreadable),
        (arn("111122223333"), Lookup::Found("no policy".into())),
        (arn("111122223333"), Lookup::Absent),
    ] {
        assert_eq!(key_policy(&arn, &group(), &lookup).outcome, Outcome::NotChecked, "{lookup:?}");
    }
    assert_eq!(
        KeyPolicy::parse("{}").map(|policy| policy.evaluate(&key().arn, &group())).ok(),
        None::<PolicyEvaluation>
    );
}

#[test]
fn every_unusable_key_has_its_reason() {
    assert_eq!(reasons(&key_usable(&key())), []);
    let state = |state| reasons(&key_usable(&KeyMetadata { state, ..key() }));
    assert_eq!(state(KeyState::Disabled), [Reason::KeyDisabled]);
    assert_eq!(state(KeyState::PendingDeletion), [Reason::KeyPendingDeletion]);
    assert_eq!(state(KeyState::Other("PendingImport".into())), [Reason::KeyNotUsable]);
    assert_eq!(state(KeyState::Other("Updating".into())), []);
    let unusable = KeyMetadata { symmetric: Some(false), customer_managed: Some(false), ..key() };
    assert_eq!(reasons(&key_usable(&unusable)), [Reason::KeyNotSymmetric, Reason::KeyNotCustomerManaged]);
    let pending_deletion =
        KeyMetadata { state: KeyState::PendingDeletion, deletion: Some(Timestamp::from_secs(0)), ..key() };
    assert!(key_usable(&pending_deletion)[0].detail.contains("1970-01-01"));
}

#[test]
fn what_kms_leaves_out_of_a_key_is_not_checked() {
    let silent = KeyMetadata {
        state: KeyState::Unknown,
        symmetric: None,
        encrypts: None,
        customer_managed: None,
        ..key()
    };
    let checks = key_usable(&silent);
    assert!(checks.iter().all(|check| check.outcome == Outcome::NotChecked), "{checks:?}");
    let new = KeyMetadata { state: KeyState::Other("Reticulating".into()), ..key() };
    assert_eq!(key_usable(&new)[0].outcome, Outcome::NotChecked);
}

#[test]
fn a_missing_key_and_a_key_in_another_region_have_distinct_reasons() {
    let requested = KmsKeyId::Alias("alias/logs".into());
    let far = KeyMetadata { arn: "arn:aws:kms:us-east-1:111122223333:key/k".parse().unwrap(), ..key() };
    let checks = |lookup| reasons(&key_exists(&requested, &group(), &lookup));
    assert_eq!(checks(Lookup::Found(key())), []);
    assert_eq!(checks(Lookup::Found(far)), [Reason::KeyRegionMismatch]);
    assert_eq!(checks(Lookup::Absent), [Reason::KeyNotFound]);
    assert_eq!(checks(Lookup::Unknown("KMS did not answer".to_owned())), []);
}

#[test]
fn a_verdict_is_ok_only_if_every_check_passed() {
    let of = |checks| Diagnosis { checks, key: None }.verdict();
    let passed = || Check::passed(CheckName::KeyState, "");
    let unknown = || Check::not_checked(CheckName::KeyPolicy, "");
    let failed = || Check::failed(CheckName::KeyState, Reason::KeyDisabled, "", "");
    assert_eq!(of(vec![passed(), passed()]), Verdict::Ok);
    assert_eq!(of(vec![passed(), unknown()]), Verdict::Uncertain);
    assert_eq!(of(vec![unknown(), passed(), failed()]), Verdict::WouldFail);
}

#[test]
fn the_checks_of_a_log_group_include_its_current_key() {
    let found_group =
        |class: &str| Lookup::Found(GroupLookup { key: Some(key().arn), class: Some(class.into()) });
    let checks = log_group(&group(), &found_group("STANDARD"));
    assert!(checks.iter().all(|check| check.outcome == Outcome::Passed));
    assert!(checks[2].detail.contains(key().arn.as_str()));
    assert_eq!(log_group(&group(), &found_group("DELIVERY"))[1].outcome, Outcome::NotChecked);
    assert_eq!(reasons(&log_group(&group(), &Lookup::Absent)), [Reason::LogGroupNotFound]);
    assert_eq!(log_group(&queries(), &Lookup::Absent)[0].outcome, Outcome::NotChecked);
}

#[test]
fn the_names_of_the_checks_are_stable() {
    let mut names = CheckName::ALL.map(CheckName::as_str);
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "CURRENT_ASSOCIATION",
            "KEY_EXISTS",
            "KEY_MANAGER",
            "KEY_POLICY",
            "KEY_REGION",
            "KEY_SPEC",
            "KEY_STATE",
            "KEY_USAGE",
            "LOG_GROUP_CLASS",
            "LOG_GROUP_EXISTS",
            "LOG_GROUP_NOT_RESERVED",
            "REGION_ENABLED",
            "ROLE_ASSUMABLE",
            "ROLE_KEY_READ_PERMISSION",
            "ROLE_KEY_TAGS_PERMISSION",
            "ROLE_KMS_PERMISSION",
            "ROLE_LOGS_PERMISSION",
            "ROLE_NEEDS_EXTERNAL_ID",
            "ROLE_QUERY_PERMISSION",
            "ROLE_QUOTAS_PERMISSION",
            "ROLE_READ_PERMISSION",
            "SERVICE_ACCESS",
            "TENANT_POLICY",
        ]
    );
}
