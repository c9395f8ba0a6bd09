//! Composition: builds every adapter, connects the adapters to the ports, runs the service and shuts it down
//! gracefully. `logkey serve` and the demo call it.

mod admin_port;
mod archive;
mod background;
pub mod backup;
mod build_snapshot;
mod clock;
pub mod descriptors;
mod error;
mod gauges;
mod limits;
mod maintenance;
pub mod reload;
mod rules;
mod run;
mod service;
mod signing_key;
mod sinks;
mod snapshot;
mod start;
pub mod telemetry;
mod upstream;
pub mod watch;

pub use self::{
    admin_port::AdminPort,
    archive::archive_files,
    clock::SystemClock,
    error::{RunError, StartError},
    reload::Reloader,
    service::{App, Listeners},
    sinks::SinksError,
    upstream::AwsPorts,
};
