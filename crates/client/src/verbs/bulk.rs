//! `logkey bulk`: jobs that change many resources.

mod args;
mod control;
mod import;
mod items;
mod job;
mod plan;
mod progress;
mod watch;

pub(super) use self::{args::BulkArgs, args::run};
