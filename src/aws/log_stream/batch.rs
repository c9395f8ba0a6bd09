//! One batch for `PutLogEvents`: as many lines as it may hold, with times that AWS takes.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use aws_sdk_cloudwatchlogs::types::InputLogEvent;

use crate::{domain::time::Timestamp, ports::SinkRecord};

/// Most events of a batch, and most bytes, with so many for each event (`PutLogEvents` in the API
/// reference). No event is near the limit of its own, 1 MB: an exported log holds 64 KiB at most.
const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = 1_048_576;
const OVERHEAD: usize = 26;
/// The oldest time that is given. Every log group takes a day's (the shortest retention is one day),
/// and a batch may span a day. An older event's own time stands in its text.
const MAX_AGE: Duration = Duration::from_hours(23);

/// How far ahead of this clock the last time may be, where the clock was put back: AWS takes two hours.
const MAX_SKEW: Duration = Duration::from_hours(1);

/// The times that events bear: never before that of the event before, so that a stream, which is read
/// in the order of times, is read in the order of the log.
#[derive(Debug, Default)]
pub(super) struct MonotonicTimes(AtomicI64);

// === impl Times ===

impl MonotonicTimes {
    /// The first of the lines, as many as one batch holds; at least one where there is one.
    pub(super) fn batch(&self, lines: &[SinkRecord], now: Timestamp) -> Vec<InputLogEvent> {
        let mut min = self.0.load(Ordering::Relaxed);
        let (oldest, ahead) = (now.minus(MAX_AGE).as_millis(), now.plus(MAX_SKEW).as_millis());
        let newest = now.as_millis().max(min.min(ahead));
        let mut events = Vec::new();
        let mut bytes = 0;
        for line in lines.iter().take(MAX_EVENTS) {
            bytes += line.text.len() + OVERHEAD;
            if bytes > MAX_BYTES && !events.is_empty() {
                break;
            }
            min = line.time.as_millis().max(oldest).max(min).min(newest);
            let event = InputLogEvent::builder().timestamp(min).message(&*line.text).build();
            let Ok(event) = event else { break };
            events.push(event);
        }
        self.0.store(min, Ordering::Relaxed);
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(secs: i64, length: usize) -> SinkRecord {
        SinkRecord { time: Timestamp::from_secs(secs), text: "x".repeat(length) }
    }

    fn times(events: &[InputLogEvent]) -> Vec<i64> {
        events.iter().map(|event| event.timestamp() / 1000).collect()
    }

    const NOW: Timestamp = Timestamp::from_secs(1_000_000_000);

    #[test]
    fn a_batch_holds_as_many_events_and_bytes_as_aws_takes_and_no_more() {
        let many = vec![line(1_000_000_000, 10); MAX_EVENTS + 1];
        assert_eq!(MonotonicTimes::default().batch(&many, NOW).len(), MAX_EVENTS);
        let exact = [line(0, MAX_BYTES / 2 - OVERHEAD), line(0, MAX_BYTES / 2 - OVERHEAD), line(0, 1)];
        assert_eq!(MonotonicTimes::default().batch(&exact, NOW).len(), 2);
        let over = [line(0, MAX_BYTES / 2 - OVERHEAD), line(0, MAX_BYTES / 2 - OVERHEAD + 1)];
        assert_eq!(MonotonicTimes::default().batch(&over, NOW).len(), 1);
    }

    #[test]
    fn times_never_go_back_and_are_neither_too_old_nor_too_new() {
        let (now, all) = (1_000_000_000, MonotonicTimes::default());
        let lines = [line(5, 1), line(now - 10, 1), line(now - 20, 1), line(now + 9_999, 1)];
        let first = now - 23 * 3600;
        assert_eq!(times(&all.batch(&lines, NOW)), [first, now - 10, now - 10, now]);
        let next = all.batch(&[line(now - 5, 1)], NOW.plus(Duration::from_secs(1)));
        assert_eq!(times(&next), [now], "also from one batch to the next");
    }

    #[test]
    fn a_clock_that_is_put_back_takes_no_time_back_that_aws_still_takes() {
        let (now, all) = (1_000_000_000, MonotonicTimes::default());
        assert_eq!(times(&all.batch(&[line(now, 1)], NOW)), [now]);
        let earlier = |minutes: u64| NOW.minus(Duration::from_secs(60 * minutes));
        assert_eq!(times(&all.batch(&[line(now - 3000, 1), line(now - 2900, 1)], earlier(50))), [now, now]);
        let far = all.batch(&[line(now - 9000, 1), line(now - 8000, 1)], earlier(150));
        assert_eq!(times(&far), [now - 9000 + 3600; 2], "an hour ahead of the clock and no more");
    }
}
