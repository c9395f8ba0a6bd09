//! Diagnosis and onboarding through the whole service: what is wrong, and whether what is offered mends
//! it.

use logkey::{
    proto::{
        AssociateKmsKeyRequest, CheckKeyAssociationRequest, CheckKeyAssociationResponse,
        GetOnboardingRequest, Outcome, TestAccessRequest, Verdict, check_key_association_request::Target,
        tenant_service_client::TenantServiceClient,
    },
    sandbox::seed::{AccountSeed, KeySeed, PolicyText, RoleSeed, Seed},
};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{ALL, Caller, GROUP, PAYMENTS, REGION, Service, key, on_group, reason};

async fn check(caller: &Caller, key: &str) -> CheckKeyAssociationResponse {
    let target = Some(Target::LogGroupName(GROUP.into()));
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
    assert_eq!(good.verdict(), Verdict::Uncertain);
    assert!(good.checks.iter().all(|check| check.outcome() != Outcome::Failed), "{good:#?}");
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
    let elsewhere = json!({
        "Effect": "Allow",
        "Principal": { "Service": format!("logs.{REGION}.amazonaws.com") },
        "Action": "kms:*",
        "Resource": "*",
        "Condition": { "ArnLike": {
            "kms:EncryptionContext:aws:logs:arn": format!("arn:aws:logs:{REGION}:{PAYMENTS}:log-group:/elsewhere/*")
        } },
    });
    let service = Service::start().await;
    install(&service, |account| account.key_with(key_with("elsewhere", &[elsewhere])));
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
    let told = tenants.get_onboarding(caller.request(message)).await.unwrap().into_inner();
    let denied = GetOnboardingRequest { account_id: "444455556666".into() };
    let status = tenants.get_onboarding(caller.request(denied)).await.unwrap_err();
    assert_eq!(reason(&status), "ACCOUNT_NOT_FOUND");

    let statements: Vec<Value> = told
        .log_group_key_statements
        .iter()
        .chain(&told.query_results_key_statements)
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let role = RoleSeed {
        name: "LogKeyAssociator".to_owned(),
        trust_policy: Some(PolicyText::Text(told.trust_policy)),
        policy: Some(PolicyText::Text(told.role_policy)),
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
            ("ROLE_NEEDS_EXTERNAL_ID", Outcome::Passed)
        ]
        .map(|(name, outcome)| (name.to_owned(), outcome))
    );
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
