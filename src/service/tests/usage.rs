//! Reading all log groups for an answer about a key, over more than one call.

use super::*;
use crate::domain::request::UsageRequest;

/// So many log groups, all with the key; AWS gives 50 a page.
fn with_key(count: usize) -> TestEnv {
    let names: Vec<String> = (0..count).map(|n| format!("/app/{n:04}")).collect();
    let mut all = groups(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for group in &mut all {
        group.key = Some(KEY.parse().unwrap());
    }
    env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), all)
}

async fn usage_by(state: &Arc<ServiceState>) -> Usage {
    let call = call(Action::GetKeyUsage, TIMEOUT);
    let request = UsageRequest {
        key: KEY.parse().unwrap(),
        location: UnresolvedLocation::default(),
        page_size: 500,
        unverified_page_token: Box::default(),
    };
    super::super::usage(cx(state, call, principal("acme", ALL)), request).await.unwrap()
}

impl TestEnv {
    async fn usage(&self) -> Usage {
        usage_by(&self.state).await
    }

    /// The pages of log groups that AWS was asked for.
    fn pages(&self) -> usize {
        self.limiter.used().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_was_interrupted_says_so_and_the_next_call_goes_on_where_it_stopped() {
    let env = with_key(200);
    env.limiter.with_remaining(2);
    let part = env.usage().await;
    assert!(part.coverage.contains("100 log groups were read from AWS since"), "{}", part.coverage);
    assert!(part.coverage.contains("never were all of them read"), "{}", part.coverage);
    assert_eq!((part.uses.len(), part.verdict), (100, Verdict::InUse));
    assert_eq!((part.known_as_of, part.safe_after), (None, None));
    env.limiter.with_remaining(1);
    let more = env.usage().await;
    assert!(more.coverage.contains("150 log groups were read from AWS since"), "{}", more.coverage);
    env.limiter.with_remaining(9);
    let whole = env.usage().await;
    assert!(whole.coverage.contains("all 200 log groups were read"), "{}", whole.coverage);
    assert_eq!(whole.uses.len(), 200);
    assert!(whole.known_as_of.is_some());
    assert_eq!(env.pages(), 4, "none was read twice");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_shows_no_use_does_not_call_a_key_safe() {
    let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups(&["/app/a"; 120]));
    env.limiter.with_remaining(1);
    let part = env.usage().await;
    assert_eq!((part.verdict, part.safe_after, part.known_as_of), (Verdict::NoKnownUse, None, None));
    assert!(part.coverage.contains("ask again, and the reading goes on"), "{}", part.coverage);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_restart_is_known_after_it_and_the_reading_begins_anew() {
    let env = with_key(200);
    env.limiter.with_remaining(3);
    assert_eq!(env.usage().await.uses.len(), 150);
    env.clock.advance(Duration::from_mins(1));
    let restarted = ServiceState::new(env.state.ports.clone());
    env.limiter.with_remaining(1);
    let part = usage_by(&restarted).await;
    assert!(part.coverage.contains("50 log groups were read from AWS since"), "{}", part.coverage);
    let live = part.uses.iter().filter(|it| it.source == crate::domain::association::Source::Live).count();
    assert_eq!((part.uses.len(), live), (150, 50));
    env.limiter.with_remaining(3);
    let whole = usage_by(&restarted).await;
    assert!(whole.coverage.contains("all 200 log groups were read"), "{}", whole.coverage);
    assert_eq!(env.pages(), 3 + 4);
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_was_left_for_an_hour_begins_anew() {
    let env = with_key(200);
    env.limiter.with_remaining(2);
    env.usage().await;
    env.clock.advance(Duration::from_hours(1));
    env.limiter.with_remaining(9);
    let whole = env.usage().await;
    assert!(whole.coverage.contains("all 200 log groups were read"), "{}", whole.coverage);
    assert_eq!(env.pages(), 2 + 4);
}

#[tokio::test(start_paused = true)]
async fn a_reading_made_just_now_is_not_made_again() {
    let env = with_key(200);
    let first = env.usage().await;
    env.clock.advance(Duration::from_secs(9));
    assert_eq!(env.usage().await.known_as_of, first.known_as_of);
    assert_eq!(env.pages(), 4);
    env.clock.advance(Duration::from_secs(1));
    assert!(env.usage().await.known_as_of > first.known_as_of);
    assert_eq!(env.pages(), 8);
}
