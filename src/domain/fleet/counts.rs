//! How many items of a job are in each state.

use super::item::ItemState;

/// The number of items by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemCounts {
    /// Items that wait for their turn.
    pub waiting: u64,
    /// Items that are being changed.
    pub running: u64,
    /// Items that were changed.
    pub succeeded: u64,
    /// Items that had the key already.
    pub unchanged: u64,
    /// Items whose change failed.
    pub failed: u64,
    /// Items whose change has an unknown outcome.
    pub unknown: u64,
    /// Items that the plan found impossible.
    pub blocked: u64,
    /// Items whose key changed since the plan.
    pub skipped: u64,
    /// Planned items that replace another key.
    pub overriding: u64,
}

// === impl ItemCounts ===

impl ItemCounts {
    /// The number of all items.
    #[must_use]
    pub fn total(&self) -> u64 {
        ItemState::ALL.into_iter().map(|state| self.of(state)).sum()
    }

    /// The number of items that have not ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.waiting + self.running
    }

    /// The number of items whose change failed or has an unknown outcome.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed + self.unknown
    }

    /// Whether every item has the planned key.
    #[must_use]
    pub fn all_succeeded(&self) -> bool {
        self.succeeded + self.unchanged == self.total()
    }

    /// The number of items in this state.
    #[must_use]
    pub fn of(&self, state: ItemState) -> u64 {
        match state {
            ItemState::Blocked => self.blocked,
            ItemState::Waiting => self.waiting,
            ItemState::Running => self.running,
            ItemState::Succeeded => self.succeeded,
            ItemState::Unchanged => self.unchanged,
            ItemState::Failed => self.failed,
            ItemState::Unknown => self.unknown,
            ItemState::Skipped => self.skipped,
        }
    }

    /// Counts one more item in this state.
    pub fn add(&mut self, state: ItemState) {
        let count = match state {
            ItemState::Blocked => &mut self.blocked,
            ItemState::Waiting => &mut self.waiting,
            ItemState::Running => &mut self.running,
            ItemState::Succeeded => &mut self.succeeded,
            ItemState::Unchanged => &mut self.unchanged,
            ItemState::Failed => &mut self.failed,
            ItemState::Unknown => &mut self.unknown,
            ItemState::Skipped => &mut self.skipped,
        };
        *count += 1;
    }
}

impl std::ops::AddAssign for ItemCounts {
    fn add_assign(&mut self, other: Self) {
        self.waiting += other.waiting;
        self.running += other.running;
        self.succeeded += other.succeeded;
        self.unchanged += other.unchanged;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.blocked += other.blocked;
        self.skipped += other.skipped;
        self.overriding += other.overriding;
    }
}
