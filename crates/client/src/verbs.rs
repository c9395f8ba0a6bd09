//! The commands, one file each.

mod command;
mod context;
mod shared;
mod whoami;

pub use command::{ClientCommand, run};
