//! Permissions that only some settings require: to read the tags of keys and the account's quotas.

use logkey::{
    proto::{Check, Outcome, TestAccessRequest, Verdict, tenant_service_client::TenantServiceClient},
    sandbox::quota::Rate,
};
use serde_json::{Value, json};

use super::{install, role_with};
use crate::harness::{ALL, Caller, GROUP, PAYMENTS, Plan, Service, key};

const TAGS: &str = "ROLE_KEY_TAGS_PERMISSION";
const QUOTAS: &str = "ROLE_QUOTAS_PERMISSION";
const ON: &str = "[limits]\nservice_quotas = true\n";
const NO_PCI: &str = r#"@id("no-pci")
forbid (principal, action == LogKey::Action::"AssociateKmsKey", resource)
when { context has key && context.key.hasTag("data-class") && context.key.getTag("data-class") == "pci" };"#;
const NO_USAGE_OF_PCI: &str = r#"@id("no-usage-of-pci")
forbid (principal, action == LogKey::Action::"GetKeyUsage", resource)
when { context has key && context.key.hasTag("data-class") };"#;
const ONE_GROUP: &str = r#"@id("one-group")
forbid (principal, action == LogKey::Action::"AssociateKmsKey",
  resource == LogKey::LogGroup::"arn:aws:logs:eu-west-1:111122223333:log-group:/payments/api")
when { context has key && context.key.hasTag("data-class") };"#;

fn all_but(action: &str) -> Value {
    json!([{ "Effect": "Allow", "NotAction": action, "Resource": "*" }])
}

async fn access(caller: &Caller) -> (Vec<Check>, Verdict) {
    let mut tenants = TenantServiceClient::new(caller.channel());
    let answer =
        tenants.test_access(caller.request(TestAccessRequest::default())).await.unwrap().into_inner();
    let verdict = answer.verdict();
    (answer.checks, verdict)
}

async fn one(caller: &Caller, name: &str) -> (Check, Verdict) {
    let (checks, verdict) = access(caller).await;
    let check = checks.iter().find(|check| check.name == name);
    (check.unwrap_or_else(|| panic!("{checks:#?}")).clone(), verdict)
}

/// Adds the statements that the check offers to those of the role.
fn apply_remedy(service: &Service, granted: &Value, check: &Check) {
    let offered: Value = serde_json::from_str(&check.remedy_document).unwrap();
    // The remedy is a whole policy or one statement.
    let offered = offered.get("Statement").cloned().unwrap_or_else(|| json!([offered]));
    let both = [granted, &offered].map(|it| it.as_array().unwrap().clone()).concat();
    install(service, |account| account.role_with(role_with(&json!(both))));
}

#[tokio::test]
async fn test_access_checks_tag_permissions_that_a_policy_requires() {
    for policy in [NO_PCI, NO_USAGE_OF_PCI, ONE_GROUP] {
        let service = Plan::default().policies(policy).start().await;
        let caller = service.caller("payments", ALL);
        let granted = all_but("kms:ListResourceTags");
        install(&service, |account| account.role_with(role_with(&granted)));
        let (lacking, verdict) = one(&caller, TAGS).await;
        assert_eq!((lacking.outcome(), verdict), (Outcome::Failed, Verdict::WouldFail), "{lacking:#?}");
        let id = policy.split('"').nth(1).unwrap();
        assert!(lacking.remedy_document.contains("kms:ListResourceTags"), "{lacking:#?}");
        apply_remedy(&service, &granted, &lacking);
        let (fixed, verdict) = one(&caller, TAGS).await;
        assert_eq!((fixed.outcome(), verdict), (Outcome::Passed, Verdict::Ok), "{fixed:#?}");
        assert!(fixed.detail.contains(id), "{fixed:#?}");
        assert_eq!(
            service.reached("ListResourceTags").len(),
            0,
            "there is no known key whose tags could be read"
        );
        service.stop().await;
    }
}

#[tokio::test]
async fn test_access_reads_the_tags_of_a_key_in_use() {
    let service = Plan::default().policies(NO_USAGE_OF_PCI).start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    let granted = all_but("kms:ListResourceTags");
    install(&service, |account| account.role_with(role_with(&granted)));
    let (lacking, _) = one(&caller, TAGS).await;
    assert_eq!(lacking.outcome(), Outcome::Failed, "{lacking:#?}");
    for expected in ["no-usage-of-pci", &key("good"), "AccessDenied"] {
        assert!(lacking.detail.contains(expected), "{lacking:#?}");
    }
    apply_remedy(&service, &granted, &lacking);
    assert_eq!(one(&caller, TAGS).await.0.outcome(), Outcome::Passed);
    assert_eq!(
        service.reached("ListResourceTags").len(),
        2,
        "AWS refuses the first read and answers the second"
    );
    service.stop().await;
}

#[tokio::test]
async fn unreadable_quotas_are_reported_and_apply_once_readable() {
    let raised = Rate::new(40.0, 40.0);
    let plan = Plan::default().settings(ON).aws(|aws| aws.quota("DescribeLogGroups", raised));
    let service = plan.start().await;
    let caller = service.caller("payments", ALL);
    let granted = all_but("servicequotas:ListServiceQuotas");
    install(&service, |account| account.role_with(role_with(&granted)));
    let (lacking, verdict) = one(&caller, QUOTAS).await;
    // The service works without this permission, so no call would fail.
    assert_eq!((lacking.outcome(), verdict), (Outcome::NotChecked, Verdict::Uncertain), "{lacking:#?}");
    assert!(lacking.detail.contains("AccessDenied"), "{lacking:#?}");
    apply_remedy(&service, &granted, &lacking);
    let (fixed, verdict) = one(&caller, QUOTAS).await;
    assert_eq!((fixed.outcome(), verdict), (Outcome::Passed, Verdict::Ok), "{fixed:#?}");
    caller.get(GROUP).await.unwrap();
    let view = reqwest::get(format!("http://{}/limits", service.admin)).await.unwrap().text().await.unwrap();
    let view: Value = serde_json::from_str(&view).unwrap();
    let quota_keys = view["quota_keys"].as_array().unwrap();
    let quota_key =
        quota_keys.iter().find(|quota_key| quota_key["operation"] == "DescribeLogGroups").unwrap();
    assert_eq!(
        (&quota_key["account"], &quota_key["quota_from"]),
        (&json!(PAYMENTS), &json!("service quotas"))
    );
    service.stop().await;
}

#[tokio::test]
async fn permissions_that_no_setting_requires_are_not_checked() {
    let service = Service::start().await;
    let nothing = json!([{ "Effect": "Allow", "NotAction": ["kms:ListResourceTags", "servicequotas:*"], "Resource": "*" }]);
    install(&service, |account| account.role_with(role_with(&nothing)));
    let (checks, verdict) = access(&service.caller("payments", ALL)).await;
    assert_eq!(verdict, Verdict::Ok, "{checks:#?}");
    assert!(checks.iter().all(|check| ![TAGS, QUOTAS].contains(&check.name.as_str())), "{checks:#?}");
    for operation in ["ListServiceQuotas", "ListResourceTags"] {
        assert_eq!(service.reached(operation).len(), 0, "{operation}");
    }
    service.stop().await;
}

#[tokio::test]
async fn optional_permissions_are_not_checked_without_a_role() {
    let service = Plan::default().settings(ON).policies(NO_PCI).start().await;
    let other = logkey::sandbox::seed::RoleSeed {
        external_id: Some("another-external-id".to_owned()),
        ..role_with(&json!([]))
    };
    install(&service, |account| account.role_with(other));
    let (checks, _) = access(&service.caller("payments", ALL)).await;
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["ROLE_ASSUMABLE", "ROLE_NEEDS_EXTERNAL_ID"]);
    service.stop().await;
}
