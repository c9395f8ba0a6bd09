//! Builds a batch for `PutLogEvents`: as many lines as the API allows, with timestamps that it accepts.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use aws_sdk_cloudwatchlogs::types::InputLogEvent;

use crate::{domain::time::Timestamp, ports::SinkRecord};

/// The maximum events and bytes of a batch, and the bytes that each event adds:
/// [`PutLogEvents`](https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html).
/// An exported line has at most 64 KiB, far below the limit of 1 MB per event.
const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = 1_048_576;
const OVERHEAD: usize = 26;
/// The oldest timestamp that is sent. Every log group accepts events of the last day, because the shortest
/// retention is one day, and a batch may span a day. The text of an older event keeps its real time.
const MAX_AGE: Duration = Duration::from_hours(23);

/// How far the last timestamp may be ahead of the clock after the clock was set back: AWS accepts two hours.
const MAX_SKEW: Duration = Duration::from_hours(1);

/// Assigns timestamps that never decrease. Readers see a stream in the order of its timestamps, so they see
/// the events in the order of the audit log.
#[derive(Debug, Default)]
pub(super) struct MonotonicTimes(AtomicI64);

// === impl MonotonicTimes ===

impl MonotonicTimes {
    /// The events of the first lines, as many as fit into one batch; at least one, unless `lines` is empty.
    pub(super) fn batch(&self, lines: &[SinkRecord], now: Timestamp) -> Vec<InputLogEvent> {
        let mut last = self.0.load(Ordering::Relaxed);
        let (oldest, ahead) = (now.minus(MAX_AGE).as_millis(), now.plus(MAX_SKEW).as_millis());
        let newest = now.as_millis().max(last.min(ahead));
        let mut events = Vec::new();
        let mut bytes = 0;
        for line in lines.iter().take(MAX_EVENTS) {
            bytes += line.text.len() + OVERHEAD;
            if bytes > MAX_BYTES && !events.is_empty() {
                break;
            }
            last = line.time.as_millis().max(oldest).max(last).min(newest);
            let event = InputLogEvent::builder().timestamp(last).message(&*line.text).build();
            let Ok(event) = event else { break };
            events.push(event);
        }
        self.0.store(last, Ordering::Relaxed);
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
    fn a_batch_never_exceeds_the_limits_of_events_and_bytes() {
        let many = vec![line(1_000_000_000, 10); MAX_EVENTS + 1];
        assert_eq!(MonotonicTimes::default().batch(&many, NOW).len(), MAX_EVENTS);
        let exact = [line(0, MAX_BYTES / 2 - OVERHEAD), line(0, MAX_BYTES / 2 - OVERHEAD), line(0, 1)];
        assert_eq!(MonotonicTimes::default().batch(&exact, NOW).len(), 2);
        let over = [line(0, MAX_BYTES / 2 - OVERHEAD), line(0, MAX_BYTES / 2 - OVERHEAD + 1)];
        assert_eq!(MonotonicTimes::default().batch(&over, NOW).len(), 1);
    }

    #[test]
    fn times_never_decrease_and_are_neither_too_old_nor_too_new() {
        let (now, all) = (1_000_000_000, MonotonicTimes::default());
        let lines = [line(5, 1), line(now - 10, 1), line(now - 20, 1), line(now + 9_999, 1)];
        let first = now - 23 * 3600;
        assert_eq!(times(&all.batch(&lines, NOW)), [first, now - 10, now - 10, now]);
        let next = all.batch(&[line(now - 5, 1)], NOW.plus(Duration::from_secs(1)));
        assert_eq!(times(&next), [now], "also from one batch to the next");
    }

    #[test]
    fn a_clock_set_back_does_not_lower_the_times() {
        let (now, all) = (1_000_000_000, MonotonicTimes::default());
        assert_eq!(times(&all.batch(&[line(now, 1)], NOW)), [now]);
        let earlier = |minutes: u64| NOW.minus(Duration::from_secs(60 * minutes));
        assert_eq!(times(&all.batch(&[line(now - 3000, 1), line(now - 2900, 1)], earlier(50))), [now, now]);
        let far = all.batch(&[line(now - 9000, 1), line(now - 8000, 1)], earlier(150));
        assert_eq!(times(&far), [now - 9000 + 3600; 2], "at most an hour ahead of the clock");
    }
}
