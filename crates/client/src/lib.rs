//! The commands that call a running service. `logkey` mounts them beside the commands that run the service. This
//! crate sees only the public API, as any other client does.
//!
//! A command parses its arguments ([`verbs`]), opens a [`session`] from the options of the [`connection`], calls
//! the service, and prints a report ([`output`]) or a [`failure`], which decides on the exit code.

mod compliance;
pub mod connection;
pub mod failure;
pub mod output;
pub mod proto;
pub mod session;
pub mod verbs;
