//! Diagnosis and onboarding through the whole service: it finds the cause, and its remedy works.

mod key_policies;
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

/// A key whose policy has the statement for its own account and these statements.
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
async fn a_check_predicts_the_result_of_a_call_and_changes_nothing() {
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
async fn the_statement_in_an_error_fixes_its_cause() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let status = caller.associate(GROUP, &key("closed")).await.unwrap_err();
    assert_eq!(reason(&status), "KEY_POLICY_LACKS_LOGS_SERVICE");
    let info = status.get_details_error_info().unwrap();
    let offered: Value = serde_json::from_str(&info.metadata["remedy_document"]).unwrap();
    assert!(status.message().ends_with("; the statement to paste is in `remedy_document`"), "{status:?}");
    let help = status.get_details_help().unwrap();
    assert_eq!(help.links[0].url, "docs/errors.md#KEY_POLICY_LACKS_LOGS_SERVICE");
    install(&service, |account| account.key_with(key_with("mended", &[offered])));
    caller.associate(GROUP, &key("mended")).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_key_for_another_log_group_gets_its_own_reason() {
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
async fn expected_key_and_validate_only_work_over_grpc() {
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
async fn the_onboarding_documents_are_sufficient() {
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
    let access = test_access(&caller).await;
    assert_eq!(
        access,
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

/// The role of `payments`, with a policy of these statements.
fn role_with(statements: &Value) -> RoleSeed {
    RoleSeed {
        name: "LogKeyAssociator".to_owned(),
        external_id: Some("payments-external-id".to_owned()),
        policy: Some(PolicyText::Document(json!({ "Version": "2012-10-17", "Statement": statements }))),
        ..RoleSeed::default()
    }
}

fn outcomes(answer: &CheckKeyAssociationResponse) -> Vec<(&str, Outcome)> {
    let not_passed = |check: &logkey::proto::Check| check.outcome() != Outcome::Passed;
    answer
        .checks
        .iter()
        .filter(|check| not_passed(check))
        .map(|check| (check.name.as_str(), check.outcome()))
        .collect()
}

#[tokio::test]
async fn a_check_finds_missing_permissions_and_its_statement_fixes_them() {
    let read_statement = json!({ "Effect": "Allow", "Action": ["logs:DescribeLogGroups", "kms:DescribeKey", "kms:GetKeyPolicy"], "Resource": "*" });
    let simulate_statement =
        json!({ "Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*" });
    let mut statements = vec![read_statement, simulate_statement];
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
async fn a_deny_of_an_organization_is_reported_before_and_after_a_call() {
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
async fn a_role_that_cannot_be_assumed_ends_the_checks() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let other = RoleSeed {
        name: "LogKeyAssociator".to_owned(),
        external_id: Some("another-external-id".to_owned()),
        ..RoleSeed::default()
    };
    install(&service, |account| account.role_with(other));
    assert_eq!(outcomes(&check(&caller, &key("good")).await), [("ROLE_ASSUMABLE", Outcome::Failed)]);
    let access = test_access(&caller).await;
    let names: Vec<&str> = access.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ROLE_ASSUMABLE", "ROLE_NEEDS_EXTERNAL_ID"]);
    let status = caller.associate(GROUP, &key("good")).await.unwrap_err();
    assert_eq!(reason(&status), "ROLE_NOT_ASSUMABLE");
    service.stop().await;
}

#[tokio::test]
async fn without_policy_simulation_permissions_are_not_checked() {
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
async fn test_access_finds_each_missing_permission() {
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
        let access = test_access(&caller).await;
        let failed: Vec<&str> = access
            .iter()
            .filter(|(_, outcome)| *outcome == Outcome::Failed)
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(failed, [name], "{access:?}");
    }
    // If a key is in use, the check reads that key.
    service.sandbox.sandbox().fault(Fault::on("SimulatePrincipalPolicy", Effect::Throttle));
    let all = json!([{ "Effect": "Allow", "Action": "*", "Resource": "*" }]);
    install(&service, |account| account.role_with(role_with(&all)));
    caller.associate(GROUP, &key("good")).await.unwrap();
    let access = test_access(&caller).await;
    assert!(access.contains(&("ROLE_KEY_READ_PERMISSION".to_owned(), Outcome::Passed)), "{access:?}");
    assert!(access.contains(&("ROLE_KMS_PERMISSION".to_owned(), Outcome::NotChecked)), "{access:?}");
    service.stop().await;
}

#[tokio::test]
async fn test_access_fails_for_a_role_without_an_external_id() {
    let open = RoleSeed { name: "LogKeyAssociator".to_owned(), external_id: None, ..RoleSeed::default() };
    let service = Service::start().await;
    install(&service, |account| account.role_with(open));
    let access = test_access(&service.caller("payments", ALL)).await;
    assert!(access.contains(&("ROLE_NEEDS_EXTERNAL_ID".to_owned(), Outcome::Failed)), "{access:?}");
    service.stop().await;
}

/// Adds to the account of `payments`, and replaces roles and keys with the same name.
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
