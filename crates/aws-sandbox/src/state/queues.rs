//! The SQS queues of one account and Region, and their messages.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// The maximum number of messages of a queue; the oldest are dropped first.
const MAX_MESSAGES: usize = 100_000;

/// All queues, by name.
#[derive(Debug, Default)]
pub(crate) struct Queues(BTreeMap<String, Arc<Queue>>);

/// One queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) arn: String,
    pub(crate) created: Timestamp,
    settings: Mutex<QueueSettings>,
    messages: Mutex<VecDeque<Message>>,
    /// Wakes the calls that wait for a message.
    pub(crate) arrivals: Notify,
}

/// The attributes that a queue is created with, in the units of SQS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueSettings {
    pub(crate) visibility_seconds: i64,
    pub(crate) wait_seconds: i64,
    pub(crate) retention_seconds: i64,
    pub(crate) redrive: Option<Redrive>,
}

/// When a message moves to the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redrive {
    pub(crate) dead_letter_arn: String,
    pub(crate) max_receives: u32,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) sent: Timestamp,
    pub(crate) first_received: Option<Timestamp>,
    pub(crate) receives: u32,
    /// When the message can be received, again or for the first time.
    pub(crate) visible: Timestamp,
    /// The handle of the last receive.
    pub(crate) handle: Option<String>,
}

// === impl Queues ===

impl Queues {
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Queue>> {
        self.0.get(name).cloned()
    }

    /// The queue with this name, which is created if there is none.
    pub(crate) fn create(&mut self, name: &str, create: impl FnOnce() -> Queue) -> Arc<Queue> {
        Arc::clone(self.0.entry(name.to_owned()).or_insert_with(|| Arc::new(create())))
    }
}

// === impl Queue ===

impl Queue {
    pub(crate) fn new(arn: String, settings: QueueSettings, created: Timestamp) -> Self {
        Self {
            arn,
            created,
            settings: Mutex::new(settings),
            messages: Mutex::default(),
            arrivals: Notify::new(),
        }
    }

    pub(crate) fn settings(&self) -> QueueSettings {
        self.settings.lock().clone()
    }

    pub(crate) fn set_settings(&self, settings: QueueSettings) {
        *self.settings.lock() = settings;
    }

    pub(crate) fn messages(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.messages.lock()
    }

    /// Appends a message, and wakes the calls that wait for one.
    pub(crate) fn push(&self, message: Message) {
        let mut messages = self.messages.lock();
        if messages.len() >= MAX_MESSAGES {
            messages.pop_front();
        }
        messages.push_back(message);
        drop(messages);
        self.arrivals.notify_waiters();
    }
}

// === impl QueueSettings ===

impl Default for QueueSettings {
    /// SQS's defaults:
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html>.
    fn default() -> Self {
        Self { visibility_seconds: 30, wait_seconds: 0, retention_seconds: 345_600, redrive: None }
    }
}

// === impl Message ===

impl Message {
    pub(crate) fn new(body: String, now: Timestamp, delay_seconds: i64) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            body,
            sent: now,
            first_received: None,
            receives: 0,
            visible: after(now, delay_seconds),
            handle: None,
        }
    }
}

/// The time this number of seconds later.
pub(crate) fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
