//! Copies the whole log to destinations outside the store, in order and at least once. Each [`Sink`] has its
//! own task, which continues where the sink stopped. One process at a time feeds the sinks, and no call
//! waits for a sink. `App` starts them.

pub mod file;
mod pages;
mod state;
pub mod stdout;
mod worker;
mod writer_thread;

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time};

use self::worker::SinkWorker;
use crate::ports::{Clock, EventReader, Leadership, Sink, SinkStore, Unavailable};

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

/// The running tasks, one for each sink.
#[derive(Debug)]
pub struct Sinks {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    close_within: Duration,
}

// === impl Sinks ===

impl Sinks {
    /// Starts to copy the log to these sinks.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the store cannot return the sinks' positions.
    pub async fn start(
        sinks: Vec<NamedSink>,
        source: EventSource,
        timing: SinkTiming,
    ) -> Result<Self, Unavailable> {
        let names: Arc<[Box<str>]> = sinks.iter().map(|sink| sink.name.clone()).collect();
        let positions = source.store.register(&names).await?;
        let (stop, stopped) = watch::channel(false);
        let feeds = sinks.into_iter().zip(positions);
        let tasks = feeds
            .map(|(named, position)| {
                let worker = SinkWorker::new(named, Arc::clone(&names), position, source.clone(), timing);
                tokio::spawn(worker.run(stopped.clone()))
            })
            .collect();
        Ok(Self { stop, tasks, close_within: timing.close_within })
    }

    /// Sends the remaining events as far as the sinks accept them in time, and ends.
    pub async fn close(self) {
        self.stop.send_replace(true);
        let end = time::Instant::now() + self.close_within;
        for task in self.tasks {
            let abort = task.abort_handle();
            if time::timeout_at(end, task).await.is_err() {
                abort.abort();
            }
        }
    }
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
