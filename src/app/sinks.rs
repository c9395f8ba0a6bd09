//! From settings to sinks of the audit log that run.

use std::{io, sync::Arc};

use thiserror::Error;

use crate::{
    audit::{
        Sinks,
        sinks::{EventSource, NamedSink, SinkTiming, file::RotatingFile, stdout::Stdout},
    },
    aws::{LogStream, StreamConfig},
    config::{Settings, SinkTarget},
    ports::{Sink, Unavailable},
};

/// Why the log cannot be given to its sinks. One that cannot be written is no reason: it is asked again.
#[derive(Debug, Error)]
pub enum SinksError {
    /// The store does not tell how far they are.
    #[error("the store does not tell how far they are")]
    Store(#[source] Unavailable),
    /// There is no thread to be had.
    #[error("the system gives no thread")]
    Thread(#[source] io::Error),
}

/// Starts every sink that the settings name.
pub(super) async fn start(settings: &Settings, source: EventSource) -> Result<Sinks, SinksError> {
    let mut named = Vec::with_capacity(settings.audit.sinks.len());
    for sink in &settings.audit.sinks {
        let to: Arc<dyn Sink> = match &sink.to {
            SinkTarget::Stdout => Arc::new(Stdout::open().map_err(SinksError::Thread)?),
            SinkTarget::File(config) => {
                Arc::new(RotatingFile::new(config.clone()).map_err(SinksError::Thread)?)
            }
            SinkTarget::LogStream(config) => {
                let clock = Arc::clone(&source.clock);
                Arc::new(LogStream::connect(&settings.aws, StreamConfig::clone(config), clock).await)
            }
        };
        named.push(NamedSink { name: sink.name.clone(), sink: to });
    }
    Sinks::start(named, source, SinkTiming::default()).await.map_err(SinksError::Store)
}
