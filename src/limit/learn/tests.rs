use std::num::NonZeroU32;

use super::*;
use crate::{
    domain::{
        association::{GetKeyAssociation, Resource, Target},
        authorization::{Authorized, Question},
        call::Action,
        tenant::{AccountGrant, Tenant},
    },
    limit::{Upstream, Upstreams, Waiting, view::LaneView},
    ports::{
        Authorize,
        aws::{AwsAnswer, Refusal},
        limit::{Lane, Operation, Pace},
        quotas::Granted,
    },
    testing::{ACCOUNT, FakePolicy, FakeQuotas, call, principal, tenant},
};

const DESCRIBE: Operation = Operation::DescribeLogGroups;

struct World {
    aws: Arc<FakeQuotas>,
    pace: Arc<LocalPace>,
    learner: QuotaLearner,
}

fn world(upstream: Upstreams) -> World {
    let (aws, pace) =
        (Arc::new(FakeQuotas::default()), Arc::new(LocalPace::new(upstream, Waiting::default())));
    World { learner: QuotaLearner::new(aws.clone(), Arc::clone(&pace)), aws, pace }
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
    let resource = Resource { place: place(region), target: Target::QueryResults };
    let policy = FakePolicy::default();
    let yes = |question: &Question<'_>| policy.decide(question);
    let call = call(Action::GetKeyAssociation, Duration::from_secs(1));
    let who = principal("acme", &[]);
    let permit = Authorized::decide(yes, &call, &who, &tenant, GetKeyAssociation { resource }).unwrap();
    permit.access().clone()
}

fn place(region: &str) -> Place {
    Place { account: ACCOUNT.parse().unwrap(), region: region.parse().unwrap() }
}

fn granted(per_second: u32) -> Granted {
    [(DESCRIBE, NonZeroU32::new(per_second).unwrap())].into_iter().collect()
}

fn denied() -> UpstreamError {
    UpstreamError::Refused { refusal: Refusal::Other, answer: AwsAnswer::default() }
}

impl World {
    /// Learns, and lets what runs aside come to its end.
    async fn learn(&self, access: &Access) {
        self.learner.learn(access);
        self.settle().await;
    }

    async fn settle(&self) {
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
    }

    /// The quota of the lane, and where it is known from.
    async fn quota(&self, region: &str) -> (f64, String) {
        let lane = Lane { place: place(region), operation: DESCRIBE };
        let deadline = (Instant::now() + Duration::from_secs(5)).into_std();
        drop(self.pace.turn(&lane, &"acme".parse().unwrap(), deadline).await.unwrap());
        let views: Vec<LaneView> =
            self.pace.view().into_iter().filter(|view| view.region == region).collect();
        let [view] = &views[..] else { panic!("{views:?}") };
        (view.quota, view.quota_from.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn what_service_quotas_says_holds_for_lanes_that_are_there_and_for_those_to_come() {
    let world = world(Upstreams::default());
    assert_eq!(world.quota("eu-west-1").await, (10.0, "default".into()));
    world.aws.answer(Ok(granted(40)));
    world.aws.answer(Ok(granted(30)));
    world.learn(&access("A", "eu-west-1")).await;
    world.learn(&access("A", "us-east-1")).await;
    assert_eq!(world.quota("eu-west-1").await, (40.0, "service quotas".into()));
    assert_eq!(world.quota("us-east-1").await, (30.0, "service quotas".into()));
}

#[tokio::test(start_paused = true)]
async fn a_configured_quota_wins() {
    let fifteen = Upstream { describe_per_second: NonZeroU32::new(15), ..Upstream::default() };
    let own = Upstreams { accounts: [(ACCOUNT.parse().unwrap(), fifteen)].into(), ..Upstreams::default() };
    for upstream in [fifteen.into(), own] {
        let world = world(upstream);
        world.aws.answer(Ok(granted(40)));
        world.learn(&access("A", "eu-west-1")).await;
        assert_eq!(world.quota("eu-west-1").await, (15.0, "configured".into()));
        world.pace.set_upstream(Upstreams::default());
        assert_eq!(world.quota("eu-west-1").await, (40.0, "service quotas".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_asked_about_once_at_a_time_and_again_after_hours() {
    let world = world(Upstreams::default());
    let access = access("A", "eu-west-1");
    world.aws.hold(true);
    for _ in 0..100 {
        world.learn(&access).await;
    }
    assert_eq!((world.aws.asked().len(), world.aws.under_way()), (1, 1));
    world.aws.hold(false);
    world.settle().await;
    tokio::time::advance(REMEMBERED.saturating_sub(Duration::from_secs(1))).await;
    world.learn(&access).await;
    assert_eq!(world.aws.asked().len(), 1);
    tokio::time::advance(REMEMBERED / 4 + Duration::from_secs(1)).await;
    world.learn(&access).await;
    assert_eq!(world.aws.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn few_places_are_asked_about_at_once_and_the_others_with_a_later_call() {
    let world = world(Upstreams::default());
    let all: Vec<Access> = (1..=9).map(|n| access("A", &format!("eu-west-{n}"))).collect();
    world.aws.hold(true);
    for access in &all {
        world.learn(access).await;
    }
    assert_eq!(world.aws.under_way(), AT_ONCE);
    world.aws.hold(false);
    for _ in 0..3 {
        for access in &all {
            world.learn(access).await;
        }
    }
    assert_eq!(world.aws.asked().len(), all.len());
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_ask_changes_nothing_and_keeps_no_other_from_asking() {
    let world = world(Upstreams::default());
    world.aws.answer(Err(denied()));
    world.aws.answer(Ok(granted(40)));
    for _ in 0..5 {
        world.learn(&access("Denied", "eu-west-1")).await;
    }
    assert_eq!(world.quota("eu-west-1").await, (10.0, "default".into()));
    assert_eq!(world.aws.asked().len(), 1);
    world.learn(&access("Allowed", "eu-west-1")).await;
    assert_eq!(world.quota("eu-west-1").await, (40.0, "service quotas".into()));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_soon() {
    let world = world(Upstreams::default());
    let access = access("A", "eu-west-1");
    world.aws.answer(Err(UpstreamError::Fault { answer: AwsAnswer::default() }));
    world.aws.answer(Ok(granted(40)));
    world.learn(&access).await;
    world.learn(&access).await;
    assert_eq!(world.aws.asked().len(), 1);
    tokio::time::advance(AGAIN).await;
    world.learn(&access).await;
    assert_eq!(world.quota("eu-west-1").await, (40.0, "service quotas".into()));
}

#[tokio::test(start_paused = true)]
async fn places_that_nobody_calls_are_forgotten() {
    let world = world(Upstreams::default());
    world.aws.answer(Ok(granted(40)));
    world.aws.answer(Ok(granted(30)));
    world.learn(&access("A", "eu-west-1")).await;
    world.learn(&access("A", "us-east-1")).await;
    tokio::time::advance(IDLE / 2).await;
    world.learn(&access("A", "us-east-1")).await;
    tokio::time::advance(IDLE / 2).await;
    world.learner.forget_idle();
    assert_eq!(world.quota("eu-west-1").await, (10.0, "default".into()));
    assert_eq!(world.quota("us-east-1").await, (30.0, "service quotas".into()));
    assert_eq!(locked(&world.learner.0.places).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_learned_now_counts_at_once_also_for_a_role_that_was_refused() {
    let world = world(Upstreams::default());
    let access = access("Associator", "eu-west-1");
    world.aws.answer(Err(denied()));
    world.learn(&access).await;
    world.learn(&access).await;
    assert_eq!(world.aws.asked().len(), 1, "a role that was refused is not asked through again");
    let deadline = Instant::now().into_std() + PATIENCE;
    world.aws.answer(Err(denied()));
    let told = world.learner.learn_now(&access, deadline).await.unwrap();
    assert!(matches!(told.result, Err(UpstreamError::Refused { .. })), "{told:?}");
    world.aws.answer(Ok(granted(40)));
    world.learner.learn_now(&access, deadline).await.unwrap().result.unwrap();
    assert_eq!(world.quota("eu-west-1").await, (40.0, "service quotas".to_owned()));
    world.learn(&access).await;
    assert_eq!(world.aws.asked().len(), 3, "what was learned now is remembered like the rest");
}
