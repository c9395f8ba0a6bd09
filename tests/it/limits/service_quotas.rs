//! The quotas that Service Quotas reports, read with the real SDK.

use std::time::{Duration, Instant};

use logkey::{
    limit::view::{LimitsView, QuotaKeyView},
    sandbox::{
        call_log::{Entry, Outcome},
        quota::Rate,
        seed::RoleSeed,
    },
};

use crate::harness::{ALL, GROUP, Plan, REGION, Service, tenant};

const ACCOUNT: &str = "222233334444";
const LIMITS: &str = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
const ON: &str = "[limits]\nservice_quotas = true\n";

/// An account with a raised `DescribeLogGroups` quota and a role with these permissions.
fn with_raised_quota(permissions: &[&str]) -> Plan {
    let role = RoleSeed {
        name: "LogKeyAssociator".into(),
        external_id: Some("payments-external-id".into()),
        permissions: Some(permissions.iter().map(|it| (*it).to_owned()).collect()),
        ..RoleSeed::default()
    };
    Plan::default().tenants(&tenant("payments", ACCOUNT, LIMITS)).aws(|aws| {
        aws.quota("DescribeLogGroups", Rate::new(40.0, 40.0))
            .account(ACCOUNT, |account| account.role_with(role).log_group(REGION, GROUP))
    })
}

async fn quota_key(service: &Service) -> QuotaKeyView {
    let answer = reqwest::get(format!("http://{}/limits", service.admin)).await.unwrap();
    let view: LimitsView = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    view.quota_keys.into_iter().find(|quota_key| quota_key.operation == "DescribeLogGroups").unwrap()
}

async fn until<T>(mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The calls of `ListServiceQuotas` that AWS has answered.
fn answered_requests(service: &Service) -> Vec<Entry> {
    let all = service.reached("ListServiceQuotas").into_iter();
    all.filter(|entry| !matches!(entry.outcome, Outcome::Received)).collect()
}

#[tokio::test]
async fn a_raised_quota_is_read_once_and_used() {
    let service = with_raised_quota(&["*"]).settings(ON).start().await;
    let caller = service.caller("payments", ALL);
    caller.get(GROUP).await.unwrap();
    let quota_key =
        until(async || Some(quota_key(&service).await).filter(|quota_key| quota_key.quota > 10.0)).await;
    assert_eq!((quota_key.quota, quota_key.quota_from.as_str()), (40.0, "service quotas"));
    for _ in 0..5 {
        caller.get(GROUP).await.unwrap();
    }
    let [read] = &service.reached("ListServiceQuotas")[..] else { panic!() };
    assert_eq!(read.role.as_deref(), Some("LogKeyAssociator"));
    assert_eq!((&read.params["ServiceCode"], read.region.as_str()), (&"logs".into(), REGION));
    service.stop().await;
}

#[tokio::test]
async fn a_configured_quota_is_not_replaced() {
    let configured = "[limits]\nservice_quotas = true\n[[limits.accounts]]\naccount_id = \"222233334444\"\ndescribe_per_second = 20\n";
    let service = with_raised_quota(&["*"]).settings(configured).start().await;
    service.caller("payments", ALL).get(GROUP).await.unwrap();
    until(async || answered_requests(&service).pop()).await;
    let quota_key = quota_key(&service).await;
    assert_eq!((quota_key.quota, quota_key.quota_from.as_str()), (20.0, "configured"));
    service.stop().await;
}

#[tokio::test]
async fn without_the_permission_quotas_are_requested_once_and_calls_work() {
    let service = with_raised_quota(&["logs:*", "kms:*"]).settings(ON).start().await;
    let caller = service.caller("payments", ALL);
    caller.get(GROUP).await.unwrap();
    let refused = until(async || answered_requests(&service).pop()).await;
    let Outcome::Refused { code, .. } = &refused.outcome else { panic!("{refused:?}") };
    assert_eq!(code, "AccessDeniedException");
    for _ in 0..5 {
        caller.get(GROUP).await.unwrap();
    }
    let quota_key = quota_key(&service).await;
    assert_eq!((quota_key.quota, quota_key.quota_from.as_str()), (10.0, "default"));
    assert_eq!(service.reached("ListServiceQuotas").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn quotas_are_not_requested_unless_enabled() {
    let service = with_raised_quota(&["*"]).start().await;
    let caller = service.caller("payments", ALL);
    for _ in 0..3 {
        caller.get(GROUP).await.unwrap();
    }
    assert_eq!(quota_key(&service).await.quota_from, "default");
    assert_eq!(service.reached("ListServiceQuotas").len(), 0);
    service.stop().await;
}
