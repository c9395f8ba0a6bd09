//! Remembers which events were deleted, because `EventBridge` and SQS deliver some of them more than once.

use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;

/// The number of ids that are remembered. `EventBridge` repeats an event within minutes, if at all.
const MAX_IDS: usize = 10_000;

/// The ids of the events that were deleted last.
#[derive(Debug, Default)]
pub(super) struct RecentIds(Mutex<Ids>);

#[derive(Debug, Default)]
struct Ids {
    known: HashSet<Box<str>>,
    order: VecDeque<Box<str>>,
}

// === impl RecentIds ===

impl RecentIds {
    pub(super) fn contains(&self, id: &str) -> bool {
        self.0.lock().known.contains(id)
    }

    pub(super) fn insert(&self, id: &str) {
        let mut ids = self.0.lock();
        if !ids.known.insert(id.into()) {
            return;
        }
        ids.order.push_back(id.into());
        if ids.order.len() > MAX_IDS
            && let Some(oldest) = ids.order.pop_front()
        {
            ids.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_id_is_forgotten_first() {
        let ids = RecentIds::default();
        for n in 0..=MAX_IDS {
            ids.insert(&n.to_string());
            ids.insert(&n.to_string());
        }
        assert!(!ids.contains("0"));
        assert!(ids.contains("1") && ids.contains(&MAX_IDS.to_string()));
        assert_eq!(ids.0.lock().known.len(), MAX_IDS);
    }
}
