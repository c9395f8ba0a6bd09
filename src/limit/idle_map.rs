//! A map of states that removes the idle ones, so that memory is proportional to the states in use.

use std::{collections::HashMap, hash::Hash, sync::Arc};

/// States by key. A state that another part of the program holds is never removed.
#[derive(Debug)]
pub(super) struct IdleMap<K, V> {
    states: HashMap<K, Arc<V>>,
    /// The number of states that triggers the first sweep.
    first_sweep: usize,
    sweep_at: usize,
}

// === impl IdleMap ===

impl<K: Eq + Hash, V> IdleMap<K, V> {
    pub(super) fn new(first_sweep: usize) -> Self {
        Self { states: HashMap::new(), first_sweep, sweep_at: first_sweep }
    }

    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        self.states.get(key).map(Arc::clone)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &Arc<V>)> {
        self.states.iter()
    }

    /// Adds a state, and before that removes the idle ones if their number has doubled since the last time.
    /// So the cost of a sweep per state is constant.
    pub(super) fn insert(&mut self, key: K, state: V, is_idle: impl Fn(&V) -> bool) -> Arc<V> {
        if self.states.len() >= self.sweep_at {
            self.states.retain(|_, state| Arc::strong_count(state) > 1 || !is_idle(state));
            self.states.shrink_to(self.first_sweep);
            self.sweep_at = (2 * self.states.len()).max(self.first_sweep);
        }
        let state = Arc::new(state);
        self.states.insert(key, Arc::clone(&state));
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_states_are_removed_unless_they_are_held() {
        let mut map = IdleMap::new(4);
        let held = map.insert(0, true, |idle| *idle);
        for key in 1..4 {
            map.insert(key, key % 2 == 0, |idle| *idle);
        }
        map.insert(4, true, |idle| *idle);
        let mut keys: Vec<_> = map.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        assert_eq!(keys, [0, 1, 3, 4]);
        drop(held);
    }
}
