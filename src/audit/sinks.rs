//! Copies the whole log to destinations outside the store, in order and at least once. Each sink has its
//! own task, which continues where the sink stopped. One process at a time feeds the sinks, and no call
//! waits for a sink. `App` starts them.

pub mod file;
mod pages;
mod source;
mod state;
pub mod stdout;
mod worker;
mod writer_thread;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time};

pub use self::source::{EventSource, NamedSink, SinkTiming};
use self::worker::SinkWorker;
use crate::ports::Unavailable;

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
