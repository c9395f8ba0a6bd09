//! The commands, one file each.

mod association;
mod bulk;
mod change;
mod checks;
mod command;
mod context;
mod events;
mod get;
mod list;
mod locations;
mod login;
mod report;
mod rule;
mod selection;
mod shared;
mod target;
mod usage;
mod whoami;

pub use command::{ClientCommand, run};
