//! Scans for `GetKeyUsage` that take more than one call.

use super::*;
use crate::domain::request::UsageRequest;

/// An environment with `count` log groups, all with the key. A page of AWS has 50.
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

    /// The number of pages of log groups that were read from AWS.
    fn pages(&self) -> usize {
        self.limiter.used().len()
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_scan_is_reported_and_the_next_call_resumes_it() {
    let env = with_key(200);
    env.limiter.with_remaining(2);
    let part = env.usage().await;
    assert!(part.coverage.contains("the deadline came before the rest"), "{}", part.coverage);
    assert!(part.coverage.contains("there is no complete scan of them yet"), "{}", part.coverage);
    assert_eq!((part.uses.len(), part.verdict), (100, Verdict::InUse));
    assert_eq!((part.known_as_of, part.safe_after), (None, None));
    env.limiter.with_remaining(1);
    let more = env.usage().await;
    assert!(more.coverage.contains("the deadline came before the rest"), "{}", more.coverage);
    env.limiter.with_remaining(9);
    let whole = env.usage().await;
    assert!(whole.coverage.contains("all log groups were read"), "{}", whole.coverage);
    assert_eq!(whole.uses.len(), 200);
    assert!(whole.known_as_of.is_some());
    assert_eq!(env.pages(), 4, "no page was read twice");
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_scan_without_a_use_does_not_make_a_key_safe() {
    let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups(&["/app/a"; 120]));
    env.limiter.with_remaining(1);
    let part = env.usage().await;
    assert_eq!((part.verdict, part.safe_after, part.known_as_of), (Verdict::Incomplete, None, None));
    assert!(part.coverage.contains("repeat the call to continue the scan"), "{}", part.coverage);
    env.limiter.with_remaining(9);
    let whole = env.usage().await;
    assert_eq!((whole.verdict, whole.safe_after), (Verdict::NoKnownUse, whole.known_as_of));

    // The next scan is interrupted too: what the former one read is no longer enough.
    env.clock.advance(Duration::from_mins(1));
    env.limiter.with_remaining(1);
    let again = env.usage().await;
    assert_eq!((again.verdict, again.safe_after), (Verdict::Incomplete, None));
    assert_eq!(again.known_as_of, whole.known_as_of);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_observations_remain_and_the_scan_starts_again() {
    let env = with_key(200);
    env.limiter.with_remaining(3);
    assert_eq!(env.usage().await.uses.len(), 150);
    env.clock.advance(Duration::from_mins(1));
    let restarted = ServiceState::new(env.state.ports.clone());
    env.limiter.with_remaining(1);
    let part = usage_by(&restarted).await;
    assert!(part.coverage.contains("the deadline came before the rest"), "{}", part.coverage);
    let live = part.uses.iter().filter(|it| it.source == crate::domain::association::Source::Live).count();
    assert_eq!((part.uses.len(), live), (150, 50));
    env.limiter.with_remaining(3);
    let whole = usage_by(&restarted).await;
    assert!(whole.coverage.contains("all log groups were read"), "{}", whole.coverage);
    assert_eq!(env.pages(), 3 + 4);
}

#[tokio::test(start_paused = true)]
async fn a_scan_interrupted_for_an_hour_starts_again() {
    let env = with_key(200);
    env.limiter.with_remaining(2);
    env.usage().await;
    env.clock.advance(Duration::from_hours(1));
    env.limiter.with_remaining(9);
    let whole = env.usage().await;
    assert!(whole.coverage.contains("all log groups were read"), "{}", whole.coverage);
    assert_eq!(env.pages(), 2 + 4);
}

#[tokio::test(start_paused = true)]
async fn a_recent_scan_is_not_repeated() {
    let env = with_key(200);
    let first = env.usage().await;
    env.clock.advance(Duration::from_secs(9));
    assert_eq!(env.usage().await.known_as_of, first.known_as_of);
    assert_eq!(env.pages(), 4);
    env.clock.advance(Duration::from_secs(1));
    assert!(env.usage().await.known_as_of > first.known_as_of);
    assert_eq!(env.pages(), 8);
}
