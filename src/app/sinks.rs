//! Starts the sinks of the audit log that the settings name.

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

/// Why the sinks cannot start. A destination that cannot be written is not an error here: the sink retries.
#[derive(Debug, Error)]
pub enum SinksError {
    /// The store cannot read the positions of the sinks.
    #[error("the store cannot read the positions of the sinks")]
    Store(#[source] Unavailable),
    /// The operating system did not start a thread.
    #[error("a thread of a sink cannot be started")]
    Thread(#[source] io::Error),
}

/// Starts every sink that the settings name.
pub(super) async fn start(settings: &Settings, source: EventSource) -> Result<Sinks, SinksError> {
    let mut named = Vec::with_capacity(settings.audit.sinks.len());
    for sink in &settings.audit.sinks {
        let destination: Arc<dyn Sink> = match &sink.to {
            SinkTarget::Stdout => Arc::new(Stdout::open().map_err(SinksError::Thread)?),
            SinkTarget::File(config) => {
                Arc::new(RotatingFile::new(config.clone()).map_err(SinksError::Thread)?)
            }
            SinkTarget::LogStream(config) => {
                let clock = Arc::clone(&source.clock);
                Arc::new(LogStream::connect(&settings.aws, StreamConfig::clone(config), clock).await)
            }
        };
        named.push(NamedSink { name: sink.name.clone(), sink: destination });
    }
    Sinks::start(named, source, SinkTiming::default()).await.map_err(SinksError::Store)
}
