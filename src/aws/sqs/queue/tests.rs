use super::*;

#[test]
fn the_delay_grows_with_the_failures_and_has_a_maximum() {
    for failures in 1..=40 {
        let delay = backoff(failures);
        assert!(delay >= MIN_BACKOFF / 2 && delay <= MAX_BACKOFF, "{failures}: {delay:?}");
    }
    assert!(backoff(1) <= MIN_BACKOFF);
    assert!(backoff(u32::MAX) >= MAX_BACKOFF / 2 && backoff(u32::MAX) <= MAX_BACKOFF);
}
