//! Limits as callers see them, with the quotas of AWS behind the service.

mod answers;
mod live;
mod paused;
mod refused;
mod replicas;
mod service_quotas;

use std::{sync::Arc, time::Instant};

use logkey::{limit::view::LimitsView, sandbox::quota::Rate};
use tokio::task::JoinSet;

use super::harness::{ALL, GROUP, PAYMENTS, Plan, REGION, key};

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_the_quota_of_aws_wait_and_none_is_throttled() {
    let rate = Rate::new(5.0, 5.0);
    let service = Plan::default().aws(|aws| aws.quota("AssociateKmsKey", rate)).start().await;
    let caller = Arc::new(service.caller("payments", ALL));
    // The first call also fetches credentials.
    caller.associate(GROUP, &key("good")).await.unwrap();
    let (mut calls, start) = (JoinSet::new(), Instant::now());
    for _ in 0..15 {
        let caller = Arc::clone(&caller);
        calls.spawn(async move { caller.associate(GROUP, &key("good")).await });
    }
    for result in calls.join_all().await {
        result.unwrap();
    }
    let took = start.elapsed().as_secs_f64();
    assert!((2.8..10.0).contains(&took), "15 calls at 5 a second took {took} s");
    assert_eq!(service.reached("AssociateKmsKey").len(), 16, "each call reaches AWS once");

    let answer =
        reqwest::get(format!("http://{}/limits", service.admin)).await.unwrap().text().await.unwrap();
    let view: LimitsView = serde_json::from_str(&answer).unwrap();
    let quota_key =
        view.quota_keys.iter().find(|quota_key| quota_key.operation == "AssociateKmsKey").unwrap();
    assert_eq!(
        (quota_key.account.as_str(), quota_key.region.as_str(), quota_key.waiting),
        (PAYMENTS, REGION, 0)
    );
    assert!(quota_key.effective_rate > 4.5, "{quota_key:?}");
    assert_eq!(view.tenants.first().unwrap().tenant, "payments");
    drop(caller);
    service.stop().await;
}
