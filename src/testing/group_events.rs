//! A fake of the event queue: a message stays until it is deleted, and comes again when the test says so.

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    domain::log_group_change::LogGroupChange,
    ports::group_events::{
        GroupEvents, GroupEventsError, GroupMessage, Irrelevance, Receipt, UnreadableEvent, UnreadableMessage,
    },
};

/// An event queue in memory.
#[derive(Debug, Default)]
pub struct FakeGroupEvents {
    state: Mutex<State>,
    arrivals: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<GroupMessage>,
    in_flight: Vec<GroupMessage>,
    deleted: Vec<Receipt>,
    failures: Vec<GroupEventsError>,
    sent: u64,
}

// === impl FakeGroupEvents ===

impl FakeGroupEvents {
    /// Sends a change to the queue.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn send(&self, change: LogGroupChange) {
        let event_id = Some(change.event_id.clone());
        self.push(|receipt| GroupMessage::Change {
            change: Box::new(change),
            receipt: Receipt { event_id, ..receipt },
            sent: None,
        });
    }

    /// Sends an event that needs no action.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn send_irrelevant(&self, reason: Irrelevance) {
        self.push(|receipt| GroupMessage::Irrelevant { reason, receipt });
    }

    /// Sends a message that cannot be read.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn send_unreadable(&self, reason: UnreadableEvent) {
        let message = UnreadableMessage { message_id: "unreadable".into(), receive_count: None, reason };
        self.push(|_| GroupMessage::Unreadable(message));
    }

    /// Fails the next call.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn fail(&self, error: GroupEventsError) {
        self.state.lock().failures.push(error);
        self.arrivals.notify_one();
    }

    /// Ends the visibility timeout: every message that was not deleted comes again.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn redeliver(&self) {
        let mut state = self.state.lock();
        let mut in_flight = std::mem::take(&mut state.in_flight);
        state.waiting.append(&mut in_flight);
        drop(state);
        self.arrivals.notify_one();
    }

    /// The receipts of the deleted messages, in order.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn deleted(&self) -> Vec<Receipt> {
        self.state.lock().deleted.clone()
    }

    /// How many messages are in the queue, received or not.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn remaining(&self) -> usize {
        let state = self.state.lock();
        state.waiting.len() + state.in_flight.len()
    }

    fn push(&self, message: impl FnOnce(Receipt) -> GroupMessage) {
        let mut state = self.state.lock();
        state.sent += 1;
        let receipt = Receipt { handles: vec![state.sent.to_string().into()], event_id: None };
        state.waiting.push(message(receipt));
        drop(state);
        self.arrivals.notify_one();
    }

    fn take(&self) -> Option<Result<Vec<GroupMessage>, GroupEventsError>> {
        let mut state = self.state.lock();
        if let Some(error) = state.failures.pop() {
            return Some(Err(error));
        }
        let messages = std::mem::take(&mut state.waiting);
        state.in_flight.extend(messages.iter().cloned());
        (!messages.is_empty()).then_some(Ok(messages))
    }
}

#[async_trait]
impl GroupEvents for FakeGroupEvents {
    async fn receive(&self) -> Result<Vec<GroupMessage>, GroupEventsError> {
        loop {
            if let Some(result) = self.take() {
                return result;
            }
            self.arrivals.notified().await;
        }
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<(), GroupEventsError> {
        let mut state = self.state.lock();
        if let Some(error) = state.failures.pop() {
            return Err(error);
        }
        state.in_flight.retain(|message| receipt(message).is_none_or(|receipt| !receipts.contains(receipt)));
        state.deleted.extend_from_slice(receipts);
        Ok(())
    }
}

fn receipt(message: &GroupMessage) -> Option<&Receipt> {
    match message {
        GroupMessage::Change { receipt, .. } | GroupMessage::Irrelevant { receipt, .. } => Some(receipt),
        GroupMessage::Unreadable(_) => None,
    }
}
