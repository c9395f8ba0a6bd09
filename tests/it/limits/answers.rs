//! What a caller is told of limits, and what whoever runs the service sees of them.

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

/// One reading a second of an account's log groups.
const SLOW: &str = "[limits.upstream]\ndescribe_per_second = 1\n";

async fn view(service: &Service) -> LimitsView {
    let answer = reqwest::get(format!("http://{}/limits", service.admin)).await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// How many calls wait for a turn to read log groups.
async fn waiting(service: &Service) -> usize {
    let quota_keys = view(service).await.quota_keys;
    quota_keys
        .iter()
        .find(|quota_key| quota_key.operation == "DescribeLogGroups")
        .map_or(0, |quota_key| quota_key.waiting)
}

async fn until(mut so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !so().await {
        assert!(start.elapsed() < Duration::from_secs(20), "it never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads the group's key, or is told that half a second does not do.
async fn hurried(caller: &Caller) -> Result<KeyAssociation, Status> {
    let target = Some(get_key_association_request::Target::LogGroupName(GROUP.into()));
    let mut request = caller.request(GetKeyAssociationRequest { target, ..Default::default() });
    request.set_timeout(Duration::from_millis(500));
    let answer = caller.keys().get_key_association(request).await?;
    Ok(answer.into_inner().association.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_too_many_calls_under_way_is_told_so_and_when_to_come_back() {
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
    assert_eq!((&*violation.subject, &*violation.description), ("tenant:payments", "calls under way"));
    let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!((Duration::from_millis(10)..=Duration::from_secs(5)).contains(&wait), "{wait:?}");

    hung.abort();
    drop(hung.await);
    until(async || caller.who_am_i().await.is_ok()).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_turn_comes_too_late_is_told_so_at_once_and_when_to_come_back() {
    let service = Plan::default().settings(SLOW).start().await;
    let caller = service.caller("payments", ALL);
    let (refused, took) = loop {
        // Right after a call that had its turn, the next is a second away.
        caller.get(GROUP).await.unwrap();
        let start = Instant::now();
        if let Err(status) = hurried(&caller).await {
            break (status, start.elapsed());
        }
    };
    let expected = (Code::ResourceExhausted, "ACCOUNT_BUDGET_EXHAUSTED".to_owned());
    assert_eq!((refused.code(), reason(&refused)), expected, "{refused:?}");
    assert!(took < Duration::from_millis(450), "told at once, not at its deadline: {took:?}");
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
    assert!(after <= reached + 2, "{after} instead of {reached}: turns of calls that were gone");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_a_live_services_tenant_and_its_account() {
    let limits = "{ per_second = 1, burst = 50, max_in_flight = 9 }";
    let service = Plan::default().tenants(&tenant("payments", PAYMENTS, limits)).start().await;
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    let admin = format!("http://{}", service.admin);
    let run = |more: &'static [&'static str]| {
        let admin = admin.clone();
        // Aside, since the service that it asks runs here.
        tokio::task::spawn_blocking(move || logkey(&["limits", "--admin", &admin]).args(more).output())
    };
    let shown = run(&[]).await.unwrap().unwrap();
    assert!(shown.status.success(), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let of_tenant = rows.iter().find(|row| row.first() == Some(&"payments")).unwrap();
    let remaining: u32 = of_tenant[1].parse().unwrap();
    assert!((40..=50).contains(&remaining), "{text}");
    let quota_key = [PAYMENTS, REGION, "AssociateKmsKey", "5/s", "default", "5.00/s", "0", "0"];
    assert!(rows.iter().any(|row| *row == quota_key), "{text}");

    let shown = run(&["--json"]).await.unwrap().unwrap();
    let view: LimitsView = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(view.tenants.first().unwrap().tenant, "payments");
    service.stop().await;
}

#[tokio::test]
async fn a_caller_sees_what_is_left_of_its_budget_go_down() {
    let limits = "{ per_second = 1, burst = 50, max_in_flight = 9 }";
    let service = Plan::default().tenants(&tenant("payments", PAYMENTS, limits)).start().await;
    let caller = service.caller("payments", ALL);
    let (mut left, start) = (Vec::new(), Instant::now());
    for _ in 0..20 {
        let limits = caller.who_am_i().await.unwrap().limits.unwrap();
        assert_eq!((limits.burst, limits.in_flight), (50, 1));
        left.push(limits.remaining);
    }
    // What is earned meanwhile comes back.
    let earned = u32::try_from(start.elapsed().as_secs()).unwrap() + 1;
    let (first, last) = (left[0], left[19]);
    assert_eq!(first, 49, "{left:?}");
    assert!((30..=30 + earned).contains(&last), "{left:?}");
    service.stop().await;
}
