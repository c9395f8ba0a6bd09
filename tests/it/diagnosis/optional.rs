//! Permissions that only some settings ask for: the tags of keys and the account's quotas.

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

async fn tried(caller: &Caller) -> (Vec<Check>, Verdict) {
    let mut tenants = TenantServiceClient::new(caller.channel());
    let answer =
        tenants.test_access(caller.request(TestAccessRequest::default())).await.unwrap().into_inner();
    let verdict = answer.verdict();
    (answer.checks, verdict)
}

async fn one(caller: &Caller, name: &str) -> (Check, Verdict) {
    let (checks, verdict) = tried(caller).await;
    let check = checks.iter().find(|check| check.name == name);
    (check.unwrap_or_else(|| panic!("{checks:#?}")).clone(), verdict)
}

/// Gives the role what the check offers, beside what it has.
fn mend(service: &Service, has: &Value, check: &Check) {
    let offered: Value = serde_json::from_str(&check.remedy_document).unwrap();
    // A whole policy, or one statement of one.
    let offered = offered.get("Statement").cloned().unwrap_or_else(|| json!([offered]));
    let both = [has, &offered].map(|it| it.as_array().unwrap().clone()).concat();
    install(service, |account| account.role_with(role_with(&json!(both))));
}

#[tokio::test]
async fn tags_that_a_policy_goes_by_are_tried_and_what_lacks_is_offered() {
    for policy in [NO_PCI, NO_USAGE_OF_PCI, ONE_GROUP] {
        let service = Plan::default().policies(policy).start().await;
        let caller = service.caller("payments", ALL);
        let has = all_but("kms:ListResourceTags");
        install(&service, |account| account.role_with(role_with(&has)));
        let (lacking, verdict) = one(&caller, TAGS).await;
        assert_eq!((lacking.outcome(), verdict), (Outcome::Failed, Verdict::WouldFail), "{lacking:#?}");
        let id = policy.split('"').nth(1).unwrap();
        assert!(lacking.remedy_document.contains("kms:ListResourceTags"), "{lacking:#?}");
        mend(&service, &has, &lacking);
        let (mended, verdict) = one(&caller, TAGS).await;
        assert_eq!((mended.outcome(), verdict), (Outcome::Passed, Verdict::Ok), "{mended:#?}");
        assert!(mended.detail.contains(id), "{mended:#?}");
        assert_eq!(service.reached("ListResourceTags").len(), 0, "no key is known that could be looked at");
        service.stop().await;
    }
}

#[tokio::test]
async fn with_a_key_in_use_its_tags_are_read_for_real() {
    let service = Plan::default().policies(NO_USAGE_OF_PCI).start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    let has = all_but("kms:ListResourceTags");
    install(&service, |account| account.role_with(role_with(&has)));
    let (lacking, _) = one(&caller, TAGS).await;
    assert_eq!(lacking.outcome(), Outcome::Failed, "{lacking:#?}");
    for expected in ["no-usage-of-pci", &key("good"), "AccessDenied"] {
        assert!(lacking.detail.contains(expected), "{lacking:#?}");
    }
    mend(&service, &has, &lacking);
    assert_eq!(one(&caller, TAGS).await.0.outcome(), Outcome::Passed);
    assert_eq!(service.reached("ListResourceTags").len(), 2, "refused once, answered once");
    service.stop().await;
}

#[tokio::test]
async fn quotas_that_cannot_be_read_are_told_and_once_they_can_they_count_at_once() {
    let raised = Rate::new(40.0, 40.0);
    let plan = Plan::default().settings(ON).aws(|aws| aws.quota("DescribeLogGroups", raised));
    let service = plan.start().await;
    let caller = service.caller("payments", ALL);
    let has = all_but("servicequotas:ListServiceQuotas");
    install(&service, |account| account.role_with(role_with(&has)));
    let (lacking, verdict) = one(&caller, QUOTAS).await;
    // The service works without: nothing would fail.
    assert_eq!((lacking.outcome(), verdict), (Outcome::NotChecked, Verdict::Uncertain), "{lacking:#?}");
    assert!(lacking.detail.contains("AccessDenied"), "{lacking:#?}");
    mend(&service, &has, &lacking);
    let (mended, verdict) = one(&caller, QUOTAS).await;
    assert_eq!((mended.outcome(), verdict), (Outcome::Passed, Verdict::Ok), "{mended:#?}");
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
async fn what_no_setting_asks_for_is_not_tried() {
    let service = Service::start().await;
    let nothing = json!([{ "Effect": "Allow", "NotAction": ["kms:ListResourceTags", "servicequotas:*"], "Resource": "*" }]);
    install(&service, |account| account.role_with(role_with(&nothing)));
    let (checks, verdict) = tried(&service.caller("payments", ALL)).await;
    assert_eq!(verdict, Verdict::Ok, "{checks:#?}");
    assert!(checks.iter().all(|check| ![TAGS, QUOTAS].contains(&check.name.as_str())), "{checks:#?}");
    for operation in ["ListServiceQuotas", "ListResourceTags"] {
        assert_eq!(service.reached(operation).len(), 0, "{operation}");
    }
    service.stop().await;
}

#[tokio::test]
async fn without_a_role_neither_is_tried() {
    let service = Plan::default().settings(ON).policies(NO_PCI).start().await;
    let other = logkey::sandbox::seed::RoleSeed {
        external_id: Some("another-external-id".to_owned()),
        ..role_with(&json!([]))
    };
    install(&service, |account| account.role_with(other));
    let (checks, _) = tried(&service.caller("payments", ALL)).await;
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["ROLE_ASSUMABLE", "ROLE_NEEDS_EXTERNAL_ID"]);
    service.stop().await;
}
