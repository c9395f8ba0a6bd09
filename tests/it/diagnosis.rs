//! Diagnosis and onboarding through the whole service: what is wrong, and whether what is offered mends
//! it.

mod locations;
mod optional;
mod refusals;

use logkey::{
    proto::{
        AssociateKmsKeyRequest, CheckKeyAssociationRequest, CheckKeyAssociationResponse,
        GetOnboardingRequest, Outcome, TestAccessRequest, Verdict, check_key_association_request::Target,
        tenant_service_client::TenantServiceClient,
    },
    sandbox::{
        fault::{Effect, Fault},
        seed::{AccountSeed, KeySeed, PolicyText, RoleSeed, Seed},
    },
};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{ALL, Caller, GROUP, PAYMENTS, REGION, Service, key, on_group, reason};

async fn check(caller: &Caller, key: &str) -> CheckKeyAssociationResponse {
    check_on(caller, Target::LogGroupName(GROUP.into()), key).await
}

async fn check_on(caller: &Caller, target: Target, key: &str) -> CheckKeyAssociationResponse {
    let target = Some(target);
    let message = CheckKeyAssociationRequest {
        target,
        kms_key_id: key.into(),
        ..CheckKeyAssociationRequest::default()
    };
    caller.keys().check_key_association(caller.request(message)).await.unwrap().into_inner()
}

/// A key whose policy has these statements beside the one for its own account.
fn key_with(id: &str, statements: &[Value]) -> KeySeed {
    let own = json!({
        "Effect": "Allow",
        "Principal": { "AWS": format!("arn:aws:iam::{PAYMENTS}:root") },
        "Action": "kms:*",
        "Resource": "*",
    });
    let statements: Vec<&Value> = std::iter::once(&own).chain(statements).collect();
    KeySeed {
        id: id.to_owned(),
        region: REGION.to_owned(),
        policy: Some(PolicyText::Document(json!({ "Version": "2012-10-17", "Statement": statements }))),
        ..KeySeed::default()
    }
}

#[tokio::test]
async fn a_check_tells_what_a_call_would_meet_and_changes_nothing() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let good = check(&caller, &key("good")).await;
    assert_eq!(good.verdict(), Verdict::Ok, "{good:#?}");
    assert!(good.checks.iter().all(|check| check.outcome() == Outcome::Passed), "{good:#?}");
    assert!(good.checks.iter().all(|check| !check.detail.is_empty()), "{good:#?}");
    assert_eq!(good.resolved_kms_key_arn, key("good"));
    let closed = check(&caller, &key("closed")).await;
    assert_eq!(closed.verdict(), Verdict::WouldFail);
    let failed: Vec<&str> = closed
        .checks
        .iter()
        .filter(|check| check.outcome() == Outcome::Failed)
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(failed, ["KEY_POLICY"]);
    assert_eq!(service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, GROUP), None);
    service.stop().await;
}

#[tokio::test]
async fn the_statement_in_a_refusal_mends_it_when_it_is_pasted() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let status = caller.associate(GROUP, &key("closed")).await.unwrap_err();
    assert_eq!(reason(&status), "KEY_POLICY_LACKS_LOGS_SERVICE");
    let info = status.get_details_error_info().unwrap();
    let offered: Value = serde_json::from_str(&info.metadata["remedy_document"]).unwrap();
    install(&service, |account| account.key_with(key_with("mended", &[offered])));
    caller.associate(GROUP, &key("mended")).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_key_for_another_log_group_is_told_as_such() {
    let other = json!({
        "Effect": "Allow",
        "Principal": { "Service": format!("logs.{REGION}.amazonaws.com") },
        "Action": "kms:*",
        "Resource": "*",
        "Condition": { "ArnLike": {
            "kms:EncryptionContext:aws:logs:arn": format!("arn:aws:logs:{REGION}:{PAYMENTS}:log-group:/elsewhere/*")
        } },
    });
    let service = Service::start().await;
    install(&service, |account| account.key_with(key_with("elsewhere", &[other])));
    let status = service.caller("payments", ALL).associate(GROUP, &key("elsewhere")).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::FailedPrecondition, "KEY_POLICY_CONDITION_MISMATCH".into())
    );
    service.stop().await;
}

#[tokio::test]
async fn expectations_and_validation_reach_the_wire() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let expecting = |expected: &str| AssociateKmsKeyRequest {
        expected_kms_key_id: Some(expected.to_owned()),
        ..on_group(GROUP, &key("good"))
    };
    let status = caller.send(expecting(&key("next"))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Aborted, "EXPECTED_KEY_MISMATCH".into()));
    let validated = AssociateKmsKeyRequest { validate_only: true, ..expecting("") };
    let validated = caller.send(validated).await.unwrap();
    assert_eq!((validated.audit_event_id.as_str(), validated.aws_request_id.as_str()), ("", ""));
    assert_eq!(service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, GROUP), None);
    caller.send(expecting("")).await.unwrap();
    assert_eq!(service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, GROUP), Some(key("good")));
    service.stop().await;
}

#[tokio::test]
async fn what_onboarding_says_to_install_is_enough() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let mut tenants = TenantServiceClient::new(caller.channel());
    let message = GetOnboardingRequest { account_id: PAYMENTS.into() };
    let response = tenants.get_onboarding(caller.request(message)).await.unwrap().into_inner();
    let denied = GetOnboardingRequest { account_id: "444455556666".into() };
    let status = tenants.get_onboarding(caller.request(denied)).await.unwrap_err();
    assert_eq!(reason(&status), "ACCOUNT_NOT_FOUND");

    assert!(
        response.terraform.contains("resource \"aws_iam_role\"")
            && response.terraform.contains("payments-external-id")
    );
    let template: Value = serde_json::from_str(&response.cloudformation).unwrap();
    let types: Vec<&str> =
        template["Resources"].as_object().unwrap().values().filter_map(|it| it["Type"].as_str()).collect();
    assert!(types.contains(&"AWS::IAM::Role"), "{types:?}");
    let statements: Vec<Value> = response
        .log_group_key_statements
        .iter()
        .chain(&response.query_results_key_statements)
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let role = RoleSeed {
        name: "LogKeyAssociator".to_owned(),
        trust_policy: Some(PolicyText::Text(response.trust_policy)),
        policy: Some(PolicyText::Text(response.role_policy)),
        ..RoleSeed::default()
    };
    install(&service, |account| account.role_with(role).key_with(key_with("onboarded", &statements)));
    caller.associate(GROUP, &key("onboarded")).await.unwrap();
    let results = format!("arn:aws:logs:{REGION}:{PAYMENTS}:query-result:*");
    caller.associate_arn(&results, &key("onboarded")).await.unwrap();
    let tried = test_access(&caller).await;
    assert_eq!(
        tried,
        [
            ("ROLE_ASSUMABLE", Outcome::Passed),
            ("ROLE_READ_PERMISSION", Outcome::Passed),
            ("ROLE_KEY_READ_PERMISSION", Outcome::Passed),
            ("ROLE_KMS_PERMISSION", Outcome::Passed),
            ("ROLE_LOGS_PERMISSION", Outcome::Passed),
            ("ROLE_NEEDS_EXTERNAL_ID", Outcome::Passed)
        ]
        .map(|(name, outcome)| (name.to_owned(), outcome))
    );
    service.stop().await;
}

/// The role of `payments` with these statements for its policy.
fn role_with(statements: &Value) -> RoleSeed {
    RoleSeed {
        name: "LogKeyAssociator".to_owned(),
        external_id: Some("payments-external-id".to_owned()),
        policy: Some(PolicyText::Document(json!({ "Version": "2012-10-17", "Statement": statements }))),
        ..RoleSeed::default()
    }
}

fn outcomes(answer: &CheckKeyAssociationResponse) -> Vec<(&str, Outcome)> {
    let finished = |check: &logkey::proto::Check| check.outcome() != Outcome::Passed;
    answer
        .checks
        .iter()
        .filter(|check| finished(check))
        .map(|check| (check.name.as_str(), check.outcome()))
        .collect()
}

#[tokio::test]
async fn what_the_role_lacks_shows_before_a_call_and_the_statement_mends_it() {
    let reads = json!({ "Effect": "Allow", "Action": ["logs:DescribeLogGroups", "kms:DescribeKey", "kms:GetKeyPolicy"], "Resource": "*" });
    let simulates = json!({ "Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*" });
    let mut statements = vec![reads, simulates];
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    install(&service, |account| account.role_with(role_with(&json!(statements))));
    let lacking = check(&caller, &key("good")).await;
    let both = ["ROLE_KMS_PERMISSION", "ROLE_LOGS_PERMISSION"].map(|name| (name, Outcome::Failed));
    assert_eq!(outcomes(&lacking), both, "{lacking:#?}");
    let offered = lacking.checks.iter().filter(|check| check.outcome() == Outcome::Failed);
    statements.extend(offered.map(|check| serde_json::from_str::<Value>(&check.remedy_document).unwrap()));
    install(&service, |account| account.role_with(role_with(&json!(statements))));
    assert_eq!(check(&caller, &key("good")).await.verdict(), Verdict::Ok);
    caller.associate(GROUP, &key("good")).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn what_an_organization_denies_is_told_before_a_call_and_after_one() {
    let denied = RoleSeed {
        name: "LogKeyAssociator".to_owned(),
        external_id: Some("payments-external-id".to_owned()),
        denied_by_organization: vec!["logs:AssociateKmsKey".to_owned(), "kms:Encrypt".to_owned()],
        ..RoleSeed::default()
    };
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    install(&service, |account| account.role_with(denied));
    let both = ["ROLE_KMS_PERMISSION", "ROLE_LOGS_PERMISSION"].map(|name| (name, Outcome::Failed));
    assert_eq!(outcomes(&check(&caller, &key("good")).await), both);
    let status = caller.associate(GROUP, &key("good")).await.unwrap_err();
    assert_eq!(reason(&status), "DENIED_BY_ORGANIZATION");
    service.stop().await;
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_ends_every_check_there() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let other = RoleSeed {
        name: "LogKeyAssociator".to_owned(),
        external_id: Some("another-external-id".to_owned()),
        ..RoleSeed::default()
    };
    install(&service, |account| account.role_with(other));
    assert_eq!(outcomes(&check(&caller, &key("good")).await), [("ROLE_ASSUMABLE", Outcome::Failed)]);
    let tried = test_access(&caller).await;
    let names: Vec<&str> = tried.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ROLE_ASSUMABLE", "ROLE_NEEDS_EXTERNAL_ID"]);
    let status = caller.associate(GROUP, &key("good")).await.unwrap_err();
    assert_eq!(reason(&status), "ROLE_NOT_ASSUMABLE");
    service.stop().await;
}

#[tokio::test]
async fn a_role_that_may_not_simulate_and_an_iam_that_fails_leave_it_unchecked() {
    let all_but = json!([{ "Effect": "Allow", "NotAction": "iam:*", "Resource": "*" }]);
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let unchecked = ["ROLE_KMS_PERMISSION", "ROLE_LOGS_PERMISSION"].map(|name| (name, Outcome::NotChecked));
    service.sandbox.sandbox().fault(Fault::on("SimulatePrincipalPolicy", Effect::Throttle));
    assert_eq!(outcomes(&check(&caller, &key("good")).await), unchecked);
    install(&service, |account| account.role_with(role_with(&all_but)));
    let answer = check(&caller, &key("good")).await;
    assert_eq!(answer.verdict(), Verdict::Uncertain);
    assert_eq!(outcomes(&answer), unchecked);
    let offered =
        &answer.checks.iter().find(|check| check.name == "ROLE_KMS_PERMISSION").unwrap().remedy_document;
    let mut statements = all_but;
    statements.as_array_mut().unwrap().push(serde_json::from_str(offered).unwrap());
    service.sandbox.sandbox().clear_faults();
    install(&service, |account| account.role_with(role_with(&statements)));
    assert_eq!(check(&caller, &key("good")).await.verdict(), Verdict::Ok);
    service.stop().await;
}

#[tokio::test]
async fn each_permission_that_is_missing_is_found_by_the_test_of_access() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    for (denied, name) in [
        ("logs:DescribeLogGroups", "ROLE_READ_PERMISSION"),
        ("kms:GetKeyPolicy", "ROLE_KEY_READ_PERMISSION"),
        ("kms:Encrypt", "ROLE_KMS_PERMISSION"),
        ("kms:Decrypt", "ROLE_KMS_PERMISSION"),
        ("kms:ReEncrypt*", "ROLE_KMS_PERMISSION"),
        ("kms:GenerateDataKey*", "ROLE_KMS_PERMISSION"),
        ("logs:AssociateKmsKey", "ROLE_LOGS_PERMISSION"),
        ("logs:DisassociateKmsKey", "ROLE_LOGS_PERMISSION"),
    ] {
        let all_but = json!([{ "Effect": "Allow", "NotAction": denied, "Resource": "*" }]);
        install(&service, |account| account.role_with(role_with(&all_but)));
        let tried = test_access(&caller).await;
        let failed: Vec<&str> = tried
            .iter()
            .filter(|(_, outcome)| *outcome == Outcome::Failed)
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(failed, [name], "{tried:?}");
    }
    // With a key in use, it is looked at for real.
    service.sandbox.sandbox().fault(Fault::on("SimulatePrincipalPolicy", Effect::Throttle));
    let all = json!([{ "Effect": "Allow", "Action": "*", "Resource": "*" }]);
    install(&service, |account| account.role_with(role_with(&all)));
    caller.associate(GROUP, &key("good")).await.unwrap();
    let tried = test_access(&caller).await;
    assert!(tried.contains(&("ROLE_KEY_READ_PERMISSION".to_owned(), Outcome::Passed)), "{tried:?}");
    assert!(tried.contains(&("ROLE_KMS_PERMISSION".to_owned(), Outcome::NotChecked)), "{tried:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_role_that_opens_without_the_external_id_is_a_fault() {
    let open = RoleSeed { name: "LogKeyAssociator".to_owned(), external_id: None, ..RoleSeed::default() };
    let service = Service::start().await;
    install(&service, |account| account.role_with(open));
    let tried = test_access(&service.caller("payments", ALL)).await;
    assert!(tried.contains(&("ROLE_NEEDS_EXTERNAL_ID".to_owned(), Outcome::Failed)), "{tried:?}");
    service.stop().await;
}

/// Adds to the account of `payments`, and replaces what has the same name.
fn install(service: &Service, with: impl FnOnce(AccountSeed) -> AccountSeed) {
    let account = AccountSeed { account_id: PAYMENTS.to_owned(), ..AccountSeed::default() };
    let seed = Seed { accounts: vec![with(account)], ..Seed::default() };
    service.sandbox.sandbox().apply(&seed).unwrap();
}

async fn test_access(caller: &Caller) -> Vec<(String, Outcome)> {
    let mut tenants = TenantServiceClient::new(caller.channel());
    let answer = tenants.test_access(caller.request(TestAccessRequest::default())).await.unwrap();
    let checks = answer.into_inner().checks.into_iter();
    checks.map(|check| (check.name.clone(), check.outcome())).collect()
}
