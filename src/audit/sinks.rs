//! Gives the whole log to places beside the store, in order and at least once: each [`Sink`] by a task
//! of its own, from where it stopped, in one process at a time. No call ever waits for one. Started by the
//! composition.

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

/// A sink, and its name in the store, in metrics and in log lines.
#[derive(Clone)]
pub struct NamedSink {
    /// The name: as long as it stays, the sink goes on from where it stopped.
    pub name: Box<str>,
    /// The sink.
    pub sink: Arc<dyn Sink>,
}

/// Where the log comes from.
#[derive(Clone)]
pub struct EventSource {
    /// The events.
    pub log: Arc<dyn EventReader>,
    /// The checkpoints, and how far the sinks are.
    pub store: Arc<dyn SinkStore>,
    /// Which process feeds the sinks.
    pub leadership: Arc<dyn Leadership>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// How often is looked, and how patiently a sink is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkTiming {
    /// How often it is looked for events.
    pub every: Duration,
    /// How often it is remembered at most how far a sink is, while it has more to take.
    pub save_interval: Duration,
    /// The first wait before a sink that failed is asked again; each further one is twice as long.
    pub first_retry: Duration,
    /// The longest such wait.
    pub max_retry: Duration,
    /// How long closing waits for what is left.
    pub close_within: Duration,
}

/// The running tasks.
#[derive(Debug)]
pub struct Sinks {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    close_within: Duration,
}

// === impl Sinks ===

impl Sinks {
    /// Begins to give the log to these sinks.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where the store does not tell how far they are.
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

    /// Gives the sinks what is there, as far as they take it in time, and ends.
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

// === impl Pace ===

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
        write!(f, "Named({})", self.name)
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}
