use std::num::NonZeroU32;

use super::*;
use crate::{
    domain::{
        association::{GetKeyAssociation, Resource, Target},
        authorization::{Authorized, AuthzRequest, Requester},
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
    discoverer: QuotaDiscoverer,
}

fn env(upstream: AwsQuotas) -> TestEnv {
    let (aws, limiter) = (
        Arc::new(FakeQuotas::default()),
        Arc::new(LocalUpstreamLimiter::new(upstream, QueueBounds::default())),
    );
    TestEnv { discoverer: QuotaDiscoverer::new(aws.clone(), Arc::clone(&limiter)), aws, limiter }
}

/// The access of a tenant with this role and Region.
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
    let decide = |question: &AuthzRequest<'_>| policy.decide(question);
    let call = call(Action::GetKeyAssociation, Duration::from_secs(1));
    let principal = principal("acme", &[]);
    let authorized = Authorized::decide(
        decide,
        Requester { call: &call, principal: &principal },
        &tenant,
        GetKeyAssociation { resource },
    )
    .unwrap();
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
    /// Refreshes in the background, and lets the spawned task run.
    async fn refresh(&self, access: &Access) {
        self.discoverer.refresh_in_background(access);
        self.run_pending_tasks().await;
    }

    async fn run_pending_tasks(&self) {
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
    }

    /// The quota of the quota key, and its source.
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
async fn discovered_quotas_apply_to_existing_and_new_quota_keys() {
    let env = env(AwsQuotas::default());
    assert_eq!(env.quota("eu-west-1").await, (10.0, "default".into()));
    env.aws.answer(Ok(granted(40)));
    env.aws.answer(Ok(granted(30)));
    env.refresh(&access("A", "eu-west-1")).await;
    env.refresh(&access("A", "us-east-1")).await;
    assert_eq!(env.quota("eu-west-1").await, (40.0, "service quotas".into()));
    assert_eq!(env.quota("us-east-1").await, (30.0, "service quotas".into()));
}

#[tokio::test(start_paused = true)]
async fn a_configured_quota_takes_precedence() {
    let fifteen = AwsQuota { describe_per_second: NonZeroU32::new(15), ..AwsQuota::default() };
    let own = AwsQuotas { accounts: [(ACCOUNT.parse().unwrap(), fifteen)].into(), ..AwsQuotas::default() };
    for upstream in [fifteen.into(), own] {
        let env = env(upstream);
        env.aws.answer(Ok(granted(40)));
        env.refresh(&access("A", "eu-west-1")).await;
        assert_eq!(env.quota("eu-west-1").await, (15.0, "configured".into()));
        env.limiter.set_upstream(AwsQuotas::default());
        assert_eq!(env.quota("eu-west-1").await, (40.0, "service quotas".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_location_has_one_read_in_flight_and_the_next_after_hours() {
    let env = env(AwsQuotas::default());
    let access = access("A", "eu-west-1");
    env.aws.block(true);
    for _ in 0..100 {
        env.refresh(&access).await;
    }
    assert_eq!((env.aws.calls().len(), env.aws.in_flight()), (1, 1));
    env.aws.block(false);
    env.run_pending_tasks().await;
    tokio::time::advance(TTL.saturating_sub(Duration::from_secs(1))).await;
    env.refresh(&access).await;
    assert_eq!(env.aws.calls().len(), 1);
    tokio::time::advance(TTL / 4 + Duration::from_secs(1)).await;
    env.refresh(&access).await;
    assert_eq!(env.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn concurrent_reads_are_bounded_and_later_calls_read_the_rest() {
    let env = env(AwsQuotas::default());
    let all: Vec<Access> = (1..=9).map(|n| access("A", &format!("eu-west-{n}"))).collect();
    env.aws.block(true);
    for access in &all {
        env.refresh(access).await;
    }
    assert_eq!(env.aws.in_flight(), CONCURRENCY);
    env.aws.block(false);
    for _ in 0..3 {
        for access in &all {
            env.refresh(access).await;
        }
    }
    assert_eq!(env.aws.calls().len(), all.len());
}

#[tokio::test(start_paused = true)]
async fn a_denied_role_changes_nothing_and_does_not_block_another() {
    let env = env(AwsQuotas::default());
    env.aws.answer(Err(denied()));
    env.aws.answer(Ok(granted(40)));
    for _ in 0..5 {
        env.refresh(&access("Denied", "eu-west-1")).await;
    }
    assert_eq!(env.quota("eu-west-1").await, (10.0, "default".into()));
    assert_eq!(env.aws.calls().len(), 1);
    env.refresh(&access("Allowed", "eu-west-1")).await;
    assert_eq!(env.quota("eu-west-1").await, (40.0, "service quotas".into()));
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_is_retried_soon() {
    let env = env(AwsQuotas::default());
    let access = access("A", "eu-west-1");
    env.aws.answer(Err(UpstreamError::Fault { answer: AwsErrorDetails::default() }));
    env.aws.answer(Ok(granted(40)));
    env.refresh(&access).await;
    env.refresh(&access).await;
    assert_eq!(env.aws.calls().len(), 1);
    tokio::time::advance(RETRY_AFTER).await;
    env.refresh(&access).await;
    assert_eq!(env.quota("eu-west-1").await, (40.0, "service quotas".into()));
}

#[tokio::test(start_paused = true)]
async fn idle_locations_are_removed() {
    let env = env(AwsQuotas::default());
    env.aws.answer(Ok(granted(40)));
    env.aws.answer(Ok(granted(30)));
    env.refresh(&access("A", "eu-west-1")).await;
    env.refresh(&access("A", "us-east-1")).await;
    tokio::time::advance(IDLE / 2).await;
    env.refresh(&access("A", "us-east-1")).await;
    tokio::time::advance(IDLE / 2).await;
    env.discoverer.forget_idle();
    assert_eq!(env.quota("eu-west-1").await, (10.0, "default".into()));
    assert_eq!(env.quota("us-east-1").await, (30.0, "service quotas".into()));
    assert_eq!(env.discoverer.0.locations.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_explicit_refresh_applies_at_once_even_for_a_denied_role() {
    let env = env(AwsQuotas::default());
    let access = access("Associator", "eu-west-1");
    env.aws.answer(Err(denied()));
    env.refresh(&access).await;
    env.refresh(&access).await;
    assert_eq!(env.aws.calls().len(), 1, "a denied role is not tried again");
    let deadline = Instant::now().into_std() + TIMEOUT;
    env.aws.answer(Err(denied()));
    let refreshed = env.discoverer.refresh(&access, deadline).await.unwrap();
    assert!(matches!(refreshed.result, Err(UpstreamError::Refused { .. })), "{refreshed:?}");
    env.aws.answer(Ok(granted(40)));
    env.discoverer.refresh(&access, deadline).await.unwrap().result.unwrap();
    assert_eq!(env.quota("eu-west-1").await, (40.0, "service quotas".to_owned()));
    env.refresh(&access).await;
    assert_eq!(env.aws.calls().len(), 3, "the result of an explicit refresh is cached as well");
}
