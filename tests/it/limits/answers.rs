//! How callers and operators see the limits.

use std::time::{Duration, Instant};

use logkey::{
    limit::view::LimitsView,
    proto::{GetKeyAssociationRequest, KeyAssociation, get_key_association_request},
    sandbox::fault::{Effect, Fault},
};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    harness::{ALL, Caller, GROUP, PAYMENTS, Plan, REGION, Service, key, reason, tenant},
    process::logkey,
};

/// Allows one `DescribeLogGroups` call a second for each account.
const SLOW: &str = "[limits.upstream]\ndescribe_per_second = 1\n";

async fn view(service: &Service) -> LimitsView {
    let answer = reqwest::get(format!("http://{}/limits", service.admin)).await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// The number of calls that wait for a permit for `DescribeLogGroups`.
async fn waiting(service: &Service) -> usize {
    let quota_keys = view(service).await.quota_keys;
    quota_keys
        .iter()
        .find(|quota_key| quota_key.operation == "DescribeLogGroups")
        .map_or(0, |quota_key| quota_key.waiting)
}

async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(20), "the condition never held");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads the key of the group with a deadline of half a second.
async fn get_with_deadline(caller: &Caller) -> Result<KeyAssociation, Status> {
    let target = Some(get_key_association_request::Target::LogGroupName(GROUP.into()));
    let mut request = caller.request(GetKeyAssociationRequest { target, ..Default::default() });
    request.set_timeout(Duration::from_millis(500));
    let answer = caller.keys().get_key_association(request).await?;
    Ok(answer.into_inner().association.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_over_its_concurrency_limit_gets_a_retry_delay() {
    let limits = "{ per_second = 1000, burst = 1000, max_in_flight = 1 }";
    let service = Plan::default().tenants(&tenant("payments", PAYMENTS, limits)).start().await;
    service.sandbox.sandbox().fault(Fault::on("DescribeLogGroups", Effect::Hang));
    let caller = service.caller("payments", ALL);
    let hanging = caller.clone();
    let hung = tokio::spawn(async move { hanging.get(GROUP).await });
    until(async || !service.reached("DescribeLogGroups").is_empty()).await;
    let refused = caller.who_am_i().await.unwrap_err();
    let expected = (Code::ResourceExhausted, "TENANT_CONCURRENCY_LIMITED".to_owned());
    assert_eq!((refused.code(), reason(&refused)), expected);
    let quota = refused.get_details_quota_failure().unwrap();
    let violation = quota.violations.first().unwrap();
    assert_eq!((&*violation.subject, &*violation.description), ("tenant:payments", "calls in flight"));
    let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!((Duration::from_millis(10)..=Duration::from_secs(5)).contains(&wait), "{wait:?}");

    hung.abort();
    drop(hung.await);
    until(async || caller.who_am_i().await.is_ok()).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_meet_its_deadline_fails_at_once() {
    let service = Plan::default().settings(SLOW).start().await;
    let caller = service.caller("payments", ALL);
    let (refused, took) = loop {
        // Right after a permit, the next permit is a second away.
        caller.get(GROUP).await.unwrap();
        let start = Instant::now();
        if let Err(status) = get_with_deadline(&caller).await {
            break (status, start.elapsed());
        }
    };
    let expected = (Code::ResourceExhausted, "ACCOUNT_BUDGET_EXHAUSTED".to_owned());
    assert_eq!((refused.code(), reason(&refused)), expected, "{refused:?}");
    assert!(took < Duration::from_millis(450), "rejected at once, not at the deadline: {took:?}");
    let quota = refused.get_details_quota_failure().unwrap();
    assert_eq!(quota.violations.first().unwrap().subject, "aws-account");
    let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!((Duration::from_millis(900)..=Duration::from_mins(1)).contains(&wait), "{wait:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_cancelled_leave_the_queue_and_never_reach_aws() {
    let service = Plan::default().settings(SLOW).start().await;
    let caller = service.caller("payments", ALL);
    caller.get(GROUP).await.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..12 {
        let caller = caller.clone();
        calls.spawn(async move { caller.get(GROUP).await });
    }
    until(async || waiting(&service).await >= 8).await;
    calls.shutdown().await;
    until(async || waiting(&service).await == 0).await;
    let reached = service.reached("DescribeLogGroups").len();
    assert!(reached < 12, "{reached} of 13 calls reached AWS");
    caller.get(GROUP).await.unwrap();
    let after = service.reached("DescribeLogGroups").len();
    assert!(after <= reached + 2, "{after} instead of {reached}: cancelled calls used permits");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_command_shows_tenants_and_quota_keys() {
    let limits = "{ per_second = 1, burst = 50, max_in_flight = 9 }";
    let service = Plan::default().tenants(&tenant("payments", PAYMENTS, limits)).start().await;
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    let admin = format!("http://{}", service.admin);
    let run = |more: &'static [&'static str]| {
        let admin = admin.clone();
        // On another thread, because the service runs on this runtime.
        tokio::task::spawn_blocking(move || logkey(&["limits", "--admin", &admin]).args(more).output())
    };
    let output = run(&[]).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let of_tenant = rows.iter().find(|row| row[..2] == ["tenant", "payments"]).unwrap();
    let remaining: u32 = of_tenant[2].parse().unwrap();
    assert!((40..=50).contains(&remaining), "{text}");
    let quota_key = [PAYMENTS, REGION, "AssociateKmsKey", "-", "-", "0", "0", "5/s", "5.00/s", "default"];
    assert!(rows.iter().any(|row| *row == quota_key), "{text}");

    let output = run(&["-o", "json"]).await.unwrap().unwrap();
    let view: LimitsView = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(view.tenants.first().unwrap().tenant, "payments");
    service.stop().await;
}

#[tokio::test]
async fn a_caller_sees_its_remaining_budget_decrease() {
    let limits = "{ per_second = 1, burst = 50, max_in_flight = 9 }";
    let service = Plan::default().tenants(&tenant("payments", PAYMENTS, limits)).start().await;
    let caller = service.caller("payments", ALL);
    let (mut left, start) = (Vec::new(), Instant::now());
    for _ in 0..20 {
        let limits = caller.who_am_i().await.unwrap().limits.unwrap();
        assert_eq!((limits.burst, limits.in_flight), (50, 1));
        left.push(limits.remaining);
    }
    // The tokens that are refilled meanwhile come back.
    let refilled = u32::try_from(start.elapsed().as_secs()).unwrap() + 1;
    let (first, last) = (left[0], left[19]);
    assert_eq!(first, 49, "{left:?}");
    assert!((30..=30 + refilled).contains(&last), "{left:?}");
    service.stop().await;
}
