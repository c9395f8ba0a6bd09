//! What the sinks' tasks are given: their destination, where they read from, and how often.

use std::{fmt, sync::Arc, time::Duration};

use crate::ports::{Clock, EventArchive, EventReader, Leadership, Sink, SinkStore};

/// A sink with its name.
#[derive(Clone)]
pub struct NamedSink {
    /// The name in the store, in metrics and in log lines. The store keeps the sink's position under this
    /// name, so a renamed sink does not continue where it stopped.
    pub name: Box<str>,
    /// The destination of the events.
    pub sink: Arc<dyn Sink>,
}

/// What the sinks' tasks read from.
#[derive(Clone)]
pub struct EventSource {
    /// Reads the events.
    pub log: Arc<dyn EventReader>,
    /// Reads events that left the log's store. `None` without an archive in the settings.
    pub archive: Option<Arc<dyn EventArchive>>,
    /// Reads the checkpoints, and stores the position of each sink.
    pub store: Arc<dyn SinkStore>,
    /// Decides which process feeds the sinks.
    pub leadership: Arc<dyn Leadership>,
    /// Measures how far a sink is behind.
    pub clock: Arc<dyn Clock>,
}

/// The intervals, retries and time limits of the sinks' tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkTiming {
    /// How often a task reads new events.
    pub every: Duration,
    /// The shortest interval between two saves of a sink's position while it has more events to receive.
    pub save_interval: Duration,
    /// The delay before the first retry of a failed sink. Each further delay is twice as long.
    pub first_retry: Duration,
    /// The longest delay between two retries.
    pub max_retry: Duration,
    /// How long closing waits for the remaining events.
    pub close_within: Duration,
}

// === impl SinkTiming ===

impl Default for SinkTiming {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(500),
            save_interval: Duration::from_secs(1),
            first_retry: Duration::from_millis(200),
            max_retry: Duration::from_secs(30),
            close_within: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for NamedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamedSink({})", self.name)
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSource")
    }
}
