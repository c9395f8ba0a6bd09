use std::num::NonZeroU32;

use super::*;
use crate::{
    domain::{
        association::{GetKeyAssociation, Resource, Target},
        authorization::{Authorized, AuthzRequest},
        call::Action,
        tenant::{AccountGrant, Tenant},
    },
    limit::{AwsQuota, AwsQuotas, QueueBounds, view::QuotaKeyView},
    ports::{
        Authorize,
        aws::{AwsErrorDetails, Refusal},
        limit::{Operation, QuotaKey, UpstreamLimiter},
        quotas::ServiceQuotas,
    },
    testing::{ACCOUNT, FakePolicy, FakeQuotas, call, principal, tenant},
};

const DESCRIBE: Operation = Operation::DescribeLogGroups;

struct TestEnv {
    aws: Arc<FakeQuotas>,
    limiter: Arc<LocalUpstreamLimiter>,
    learner: QuotaDiscoverer,
}

fn env(upstream: AwsQuotas) -> TestEnv {
    let (aws, limiter) = (
        Arc::new(FakeQuotas::default()),
        Arc::new(LocalUpstreamLimiter::new(upstream, QueueBounds::default())),
    );
    TestEnv { learner: QuotaDiscoverer::new(aws.clone(), Arc::clone(&limiter)), aws, limiter }
}

/// What a permit opens, of a tenant whose role and Region these are.
fn access(role: &str, region: &str) -> Access {
    let usual = tenant("acme");
    let grant = AccountGrant {
        role: format!("arn:aws:iam::{ACCOUNT}:role/{role}").parse().unwrap(),
        regions: [region.parse().unwrap()].into(),
        ..(*usual.accounts[0]).clone()
    };
    let tenant = Arc::new(Tenant { accounts: vec![Arc::new(grant)], ..usual });
    let resource = Resource { location: location(region), target: Target::QueryResults };
    let policy = FakePolicy::default();
    let yes = |question: &AuthzRequest<'_>| policy.decide(question);
    let call = call(Action::GetKeyAssociation, Duration::from_secs(1));
    let principal = principal("acme", &[]);
    let authorized =
        Authorized::decide(yes, &call, &principal, &tenant, GetKeyAssociation { resource }).unwrap();
    authorized.access().clone()
}

fn location(region: &str) -> Location {
    Location { account: ACCOUNT.parse().unwrap(), region: region.parse().unwrap() }
}

fn granted(per_second: u32) -> ServiceQuotas {
    [(DESCRIBE, NonZeroU32::new(per_second).unwrap())].into_iter().collect()
}

fn denied() -> UpstreamError {
    UpstreamError::Refused { refusal: Refusal::Other, answer: AwsErrorDetails::default() }
}

impl TestEnv {
    /// Learns, and lets what runs aside come to its end.
    async fn learn(&self, access: &Access) {
        self.learner.refresh_in_background(access);
        self.run_pending_tasks().await;
    }

    async fn run_pending_tasks(&self) {
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
    }

    /// The quota of the lane, and where it is known from.
    async fn quota(&self, region: &str) -> (f64, String) {
        let quota_key = QuotaKey { location: location(region), operation: DESCRIBE };
        let deadline = (Instant::now() + Duration::from_secs(5)).into_std();
        drop(self.limiter.acquire(&quota_key, &"acme".parse().unwrap(), deadline).await.unwrap());
        let views: Vec<QuotaKeyView> =
            self.limiter.view().into_iter().filter(|view| view.region == region).collect();
        let [view] = &views[..] else { panic!("{views:?}") };
        (view.quota, view.quota_from.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn what_service_quotas_says_holds_for_lanes_that_are_there_and_for_those_to_come() {
    let env = env(AwsQuotas::default());
    assert_eq!(env.quota("eu-west-1").await, (10.0, "default".into()));
    env.aws.answer(Ok(granted(40)));
    env.aws.answer(Ok(granted(30)));
    env.learn(&access("A", "eu-west-1")).await;
    env.learn(&access("A", "us-east-1")).await;
    assert_eq!(env.quota("eu-west-1").await, (40.0, "service quotas".into()));
    assert_eq!(env.quota("us-east-1").await, (30.0, "service quotas".into()));
}

#[tokio::test(start_paused = true)]
async fn a_configured_quota_wins() {
    let fifteen = AwsQuota { describe_per_second: NonZeroU32::new(15), ..AwsQuota::default() };
    let own = AwsQuotas { accounts: [(ACCOUNT.parse().unwrap(), fifteen)].into(), ..AwsQuotas::default() };
    for upstream in [fifteen.into(), own] {
        let env = env(upstream);
        env.aws.answer(Ok(granted(40)));
        env.learn(&access("A", "eu-west-1")).await;
        assert_eq!(env.quota("eu-west-1").await, (15.0, "configured".into()));
        env.limiter.set_upstream(AwsQuotas::default());
        assert_eq!(env.quota("eu-west-1").await, (40.0, "service quotas".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_asked_about_once_at_a_time_and_again_after_hours() {
    let env = env(AwsQuotas::default());
    let access = access("A", "eu-west-1");
    env.aws.block(true);
    for _ in 0..100 {
        env.learn(&access).await;
    }
    assert_eq!((env.aws.calls().len(), env.aws.in_flight()), (1, 1));
    env.aws.block(false);
    env.run_pending_tasks().await;
    tokio::time::advance(TTL.saturating_sub(Duration::from_secs(1))).await;
    env.learn(&access).await;
    assert_eq!(env.aws.calls().len(), 1);
    tokio::time::advance(TTL / 4 + Duration::from_secs(1)).await;
    env.learn(&access).await;
    assert_eq!(env.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn few_places_are_asked_about_at_once_and_the_others_with_a_later_call() {
    let env = env(AwsQuotas::default());
    let all: Vec<Access> = (1..=9).map(|n| access("A", &format!("eu-west-{n}"))).collect();
    env.aws.block(true);
    for access in &all {
        env.learn(access).await;
    }
    assert_eq!(env.aws.in_flight(), AT_ONCE);
    env.aws.block(false);
    for _ in 0..3 {
        for access in &all {
            env.learn(access).await;
        }
    }
    assert_eq!(env.aws.calls().len(), all.len());
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_ask_changes_nothing_and_keeps_no_other_from_asking() {
    let env = env(AwsQuotas::default());
    env.aws.answer(Err(denied()));
    env.aws.answer(Ok(granted(40)));
    for _ in 0..5 {
        env.learn(&access("Denied", "eu-west-1")).await;
    }
    assert_eq!(env.quota("eu-west-1").await, (10.0, "default".into()));
    assert_eq!(env.aws.calls().len(), 1);
    env.learn(&access("Allowed", "eu-west-1")).await;
    assert_eq!(env.quota("eu-west-1").await, (40.0, "service quotas".into()));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_soon() {
    let env = env(AwsQuotas::default());
    let access = access("A", "eu-west-1");
    env.aws.answer(Err(UpstreamError::Fault { answer: AwsErrorDetails::default() }));
    env.aws.answer(Ok(granted(40)));
    env.learn(&access).await;
    env.learn(&access).await;
    assert_eq!(env.aws.calls().len(), 1);
    tokio::time::advance(RETRY_AFTER).await;
    env.learn(&access).await;
    assert_eq!(env.quota("eu-west-1").await, (40.0, "service quotas".into()));
}

#[tokio::test(start_paused = true)]
async fn places_that_nobody_calls_are_forgotten() {
    let env = env(AwsQuotas::default());
    env.aws.answer(Ok(granted(40)));
    env.aws.answer(Ok(granted(30)));
    env.learn(&access("A", "eu-west-1")).await;
    env.learn(&access("A", "us-east-1")).await;
    tokio::time::advance(IDLE / 2).await;
    env.learn(&access("A", "us-east-1")).await;
    tokio::time::advance(IDLE / 2).await;
    env.learner.forget_idle();
    assert_eq!(env.quota("eu-west-1").await, (10.0, "default".into()));
    assert_eq!(env.quota("us-east-1").await, (30.0, "service quotas".into()));
    assert_eq!(lock(&env.learner.0.locations).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_learned_now_counts_at_once_also_for_a_role_that_was_refused() {
    let env = env(AwsQuotas::default());
    let access = access("Associator", "eu-west-1");
    env.aws.answer(Err(denied()));
    env.learn(&access).await;
    env.learn(&access).await;
    assert_eq!(env.aws.calls().len(), 1, "a role that was refused is not asked through again");
    let deadline = Instant::now().into_std() + TIMEOUT;
    env.aws.answer(Err(denied()));
    let refreshed = env.learner.refresh(&access, deadline).await.unwrap();
    assert!(matches!(refreshed.result, Err(UpstreamError::Refused { .. })), "{refreshed:?}");
    env.aws.answer(Ok(granted(40)));
    env.learner.refresh(&access, deadline).await.unwrap().result.unwrap();
    assert_eq!(env.quota("eu-west-1").await, (40.0, "service quotas".to_owned()));
    env.learn(&access).await;
    assert_eq!(env.aws.calls().len(), 3, "what was learned now is remembered like the rest");
}
