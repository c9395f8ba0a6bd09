//! The end of one attempt to change an item.

use std::time::Duration;

use super::task::LocationTask;
use crate::domain::fleet::{Failure, Item, ItemEnd, ItemState};

/// An item whose run ended.
pub(super) struct ItemRun {
    pub(super) end: ItemEnd,
    /// If the item waits again: after which time a further attempt makes sense.
    pub(super) retry_after: Duration,
}

/// The end of the item in this state, now.
pub(super) fn end(task: &LocationTask, item: &Item, state: ItemState, failure: Option<Failure>) -> ItemRun {
    let ended = task.engine.state.ports.clock.now();
    let end = ItemEnd { key: item.key, state, failure, event: None, ended };
    ItemRun { end, retry_after: Duration::ZERO }
}
