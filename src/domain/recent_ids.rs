//! Remembers the ids that were seen last, up to a number.

use std::collections::{HashSet, VecDeque};

/// The ids that were inserted last.
#[derive(Debug)]
pub struct RecentIds {
    max: usize,
    known: HashSet<Box<str>>,
    order: VecDeque<Box<str>>,
}

// === impl RecentIds ===

impl RecentIds {
    /// Remembers at most `max` ids.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, known: HashSet::new(), order: VecDeque::new() }
    }

    /// Whether the id is remembered.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.known.contains(id)
    }

    /// Remembers the id, and forgets the oldest one if there are too many.
    pub fn insert(&mut self, id: &str) {
        if !self.known.insert(id.into()) {
            return;
        }
        self.order.push_back(id.into());
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_id_is_forgotten_first() {
        let mut ids = RecentIds::new(3);
        for n in 0..=3 {
            ids.insert(&n.to_string());
            ids.insert(&n.to_string());
        }
        assert!(!ids.contains("0"));
        assert!(ids.contains("1") && ids.contains("3"));
        assert_eq!(ids.known.len(), 3);
    }
}
