//! What is known of keys after a clock was set back, and between replicas whose clocks differ.

use super::*;
use crate::domain::request::UsageRequest;

const HOUR: Duration = Duration::from_hours(1);

/// Sets the key through this replica.
async fn associate_key(env: &TestEnv, state: &Arc<ServiceState>, key: &str) {
    let call = call(Action::AssociateKmsKey, TIMEOUT);
    let request = AssociateRequest { key: key.parse().unwrap(), ..request("/app/web") };
    super::super::associate(cx(state, call, principal("acme", ALL)), request).await.unwrap();
    env.aws.set_key("/app/web", Some(key));
}

async fn verdict(state: &Arc<ServiceState>, key: &str) -> Verdict {
    let call = call(Action::GetKeyUsage, TIMEOUT);
    let request = UsageRequest {
        key: key.parse().unwrap(),
        location: UnresolvedLocation::default(),
        page_size: 500,
        unverified_page_token: Box::default(),
    };
    super::super::usage(cx(state, call, principal("acme", ALL)), request).await.unwrap().verdict
}

/// Another replica over the same store and AWS, with this clock.
fn replica(env: &TestEnv, clock: FakeClock) -> Arc<ServiceState> {
    ServiceState::new(Dependencies { clock: Arc::new(clock), ..env.state.ports.clone() })
}

#[tokio::test(start_paused = true)]
async fn a_change_after_the_clock_was_set_back_is_in_force() {
    let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups(&["/app/web"]));
    associate_key(&env, &env.state, KEY).await;
    env.clock.set_back(HOUR);
    associate_key(&env, &env.state, OTHER_KEY).await;
    assert_eq!(verdict(&env.state, OTHER_KEY).await, Verdict::InUse);
    assert_eq!(verdict(&env.state, KEY).await, Verdict::StillProtectsData);
    // The same after a restart, which forgets all times.
    let restarted = ServiceState::new(env.state.ports.clone());
    env.clock.set_back(HOUR);
    associate_key(&env, &restarted, KEY).await;
    assert_eq!(verdict(&restarted, KEY).await, Verdict::InUse);
    assert_eq!(verdict(&restarted, OTHER_KEY).await, Verdict::StillProtectsData);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_another_tool_set_is_found_after_the_clock_was_set_back() {
    let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups(&["/app/web"]));
    associate_key(&env, &env.state, KEY).await;
    assert_eq!(verdict(&env.state, KEY).await, Verdict::InUse);
    env.clock.set_back(HOUR);
    env.aws.set_key("/app/web", Some(OTHER_KEY));
    let restarted = ServiceState::new(env.state.ports.clone());
    assert_eq!(verdict(&restarted, OTHER_KEY).await, Verdict::InUse);
}

#[tokio::test(start_paused = true)]
async fn replicas_whose_clocks_differ_agree_on_the_key_in_force() {
    let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups(&["/app/web"]));
    let ahead = FakeClock::default();
    ahead.advance(HOUR);
    let ahead = replica(&env, ahead);
    associate_key(&env, &ahead, KEY).await;
    associate_key(&env, &env.state, OTHER_KEY).await;
    for state in [&env.state, &ahead] {
        assert_eq!(verdict(state, OTHER_KEY).await, Verdict::InUse);
        assert_eq!(verdict(state, KEY).await, Verdict::StillProtectsData);
    }
    env.aws.set_key("/app/web", Some(KEY));
    env.clock.advance(Duration::from_secs(20));
    assert_eq!(verdict(&env.state, KEY).await, Verdict::InUse);
}
