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
mod names;
mod report;
mod rule;
mod selection;
mod shared;
mod target;
mod usage;
mod whoami;

pub use self::{
    command::{ClientCommand, run},
    names::Names,
};
