//! Exports spans to an `OpenTelemetry` collector by OTLP. `app` starts it, and `spans` makes the spans.

mod client;
mod config;
mod exporter;

pub use self::{
    client::ClientError,
    config::{Config, Headers, Protocol, Sampling},
    exporter::{Exporter, MAX_QUEUE, PreparedClient},
};
