//! Reading all log groups for an answer about a key, over more than one call.

use super::*;
use crate::domain::ask::AskUsage;

/// So many log groups, all with the key; AWS gives 50 a page.
fn with_key(count: usize) -> World {
    let names: Vec<String> = (0..count).map(|n| format!("/app/{n:04}")).collect();
    let mut all = groups(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for group in &mut all {
        group.key = Some(KEY.parse().unwrap());
    }
    world_with(FakePolicy::default(), FakePace::default(), all)
}

async fn usage_by(broker: &KeyBroker) -> Usage {
    let call = call(Action::GetKeyUsage, PATIENCE);
    let ask = AskUsage {
        key: KEY.parse().unwrap(),
        place: UnresolvedPlace::default(),
        page_size: 500,
        unverified_page_token: Box::default(),
    };
    broker.usage(&call, &principal("acme", ALL), ask).await.unwrap()
}

impl World {
    async fn usage(&self) -> Usage {
        usage_by(&self.broker).await
    }

    /// The pages of log groups that AWS was asked for.
    fn pages(&self) -> usize {
        self.pace.used().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_was_interrupted_says_so_and_the_next_call_goes_on_where_it_stopped() {
    let world = with_key(200);
    world.pace.has_left(2);
    let part = world.usage().await;
    assert!(part.coverage.contains("100 log groups were read from AWS since"), "{}", part.coverage);
    assert!(part.coverage.contains("never were all of them read"), "{}", part.coverage);
    assert_eq!((part.uses.len(), part.verdict), (100, Verdict::InUse));
    assert_eq!((part.known_as_of, part.safe_after), (None, None));
    world.pace.has_left(1);
    let more = world.usage().await;
    assert!(more.coverage.contains("150 log groups were read from AWS since"), "{}", more.coverage);
    world.pace.has_left(9);
    let whole = world.usage().await;
    assert!(whole.coverage.contains("all 200 log groups were read"), "{}", whole.coverage);
    assert_eq!(whole.uses.len(), 200);
    assert!(whole.known_as_of.is_some());
    assert_eq!(world.pages(), 4, "none was read twice");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_shows_no_use_does_not_call_a_key_safe() {
    let world = world_with(FakePolicy::default(), FakePace::default(), groups(&["/app/a"; 120]));
    world.pace.has_left(1);
    let part = world.usage().await;
    assert_eq!((part.verdict, part.safe_after, part.known_as_of), (Verdict::NoKnownUse, None, None));
    assert!(part.coverage.contains("ask again, and the reading goes on"), "{}", part.coverage);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_restart_is_known_after_it_and_the_reading_begins_anew() {
    let world = with_key(200);
    world.pace.has_left(3);
    assert_eq!(world.usage().await.uses.len(), 150);
    world.clock.advance(Duration::from_mins(1));
    let restarted = KeyBroker::new((*world.broker.ports).clone());
    world.pace.has_left(1);
    let part = usage_by(&restarted).await;
    assert!(part.coverage.contains("50 log groups were read from AWS since"), "{}", part.coverage);
    let live = part.uses.iter().filter(|it| it.source == crate::domain::association::Source::Live).count();
    assert_eq!((part.uses.len(), live), (150, 50));
    world.pace.has_left(3);
    let whole = usage_by(&restarted).await;
    assert!(whole.coverage.contains("all 200 log groups were read"), "{}", whole.coverage);
    assert_eq!(world.pages(), 3 + 4);
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_was_left_for_an_hour_begins_anew() {
    let world = with_key(200);
    world.pace.has_left(2);
    world.usage().await;
    world.clock.advance(Duration::from_hours(1));
    world.pace.has_left(9);
    let whole = world.usage().await;
    assert!(whole.coverage.contains("all 200 log groups were read"), "{}", whole.coverage);
    assert_eq!(world.pages(), 2 + 4);
}

#[tokio::test(start_paused = true)]
async fn a_reading_made_just_now_is_not_made_again() {
    let world = with_key(200);
    let first = world.usage().await;
    world.clock.advance(Duration::from_secs(9));
    assert_eq!(world.usage().await.known_as_of, first.known_as_of);
    assert_eq!(world.pages(), 4);
    world.clock.advance(Duration::from_secs(1));
    assert!(world.usage().await.known_as_of > first.known_as_of);
    assert_eq!(world.pages(), 8);
}
