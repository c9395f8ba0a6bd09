//! The use cases of bulk jobs.

mod access;
mod control;
pub(super) mod create;
pub(super) mod list;
mod revert;
pub(super) mod view;
pub(super) mod watch;
