//! Why a command failed: the text for people and the exit code for scripts.

mod error;
mod exit_code;
mod refusal;
mod report;

pub use self::{error::Failure, report::report};
