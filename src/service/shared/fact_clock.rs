//! The time of what is known about keys. A later fact always has a later time, also after the wall clock was
//! set back, and for facts that a replica with a clock ahead of this one recorded. So the order of facts is
//! that of their commits, as far as this process knows them.

use std::{
    collections::HashSet,
    fmt,
    sync::atomic::{AtomicI64, Ordering},
};

use parking_lot::Mutex;

use crate::{
    domain::{association::Location, time::Timestamp},
    ports::{Clock, KeyHistoryReader},
};

/// The maximum number of locations whose newest fact is known; beyond it they are read again.
const MAX_LEARNED: usize = 65_536;

/// A clock that does not go back.
#[derive(Default)]
pub(in crate::service) struct FactClock {
    /// The latest time of a fact, in microseconds.
    last: AtomicI64,
    /// The locations whose newest fact was read from the store.
    learned: Mutex<HashSet<Location>>,
}

// === impl FactClock ===

impl FactClock {
    /// A time later than every fact that this process knows.
    pub(in crate::service) fn now(&self, clock: &dyn Clock) -> Timestamp {
        let wall = clock.now().as_micros();
        let next = |last: i64| Some(wall.max(last.saturating_add(1)));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let last = last.unwrap_or_else(|last| last);
        Timestamp::from_micros(wall.max(last.saturating_add(1)))
    }

    /// The same, also later than every fact about this location in the store, as of the first use of the
    /// location or of the last [`FactClock::learn`].
    pub(in crate::service) async fn now_in(
        &self,
        location: &Location,
        clock: &dyn Clock,
        history: &dyn KeyHistoryReader,
    ) -> Timestamp {
        let is_learned = self.learned.lock().contains(location);
        if !is_learned {
            self.learn(location, history).await;
        }
        self.now(clock)
    }

    /// Reads the time of the newest fact about this location from the store. Without the store nothing can be
    /// recorded, so a failure does not matter.
    pub(in crate::service) async fn learn(&self, location: &Location, history: &dyn KeyHistoryReader) {
        let Ok(newest) = history.newest(location).await else { return };
        if let Some(newest) = newest {
            self.advance(newest);
        }
        let mut learned = self.learned.lock();
        if learned.len() >= MAX_LEARNED {
            learned.clear();
        }
        learned.insert(location.clone());
    }

    /// Notes the time of a fact.
    pub(in crate::service) fn advance(&self, fact: Timestamp) {
        self.last.fetch_max(fact.as_micros(), Ordering::Relaxed);
    }
}

impl fmt::Debug for FactClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FactClock").field("last", &self.last).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::FakeClock;

    #[test]
    fn time_does_not_go_back_with_the_wall_clock() {
        let (clock, facts) = (FakeClock::default(), FactClock::default());
        let first = facts.now(&clock);
        assert_eq!(first, clock.now());
        clock.set_back(Duration::from_hours(1));
        let second = facts.now(&clock);
        assert!(second > first);
        facts.advance(first.plus(Duration::from_hours(2)));
        assert!(facts.now(&clock) > first.plus(Duration::from_hours(2)));
        clock.advance(Duration::from_hours(9));
        assert_eq!(facts.now(&clock), clock.now());
    }
}
