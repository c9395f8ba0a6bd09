//! `logkey events`: the audit log through the service.

mod args;
mod filter;
mod follow;
mod list;
mod show;
mod story;

pub(super) use self::args::{EventsArgs, run};
