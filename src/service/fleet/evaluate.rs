//! Evaluates encryption rules: reads the log groups of a tenant, compares their keys with those that the rules
//! require, records the findings, and starts jobs that set the keys.

mod attempts;
mod changes;
pub(super) mod evaluation;
mod events;
mod keys;
mod pass;
mod pass_result;
pub(super) mod scheduler;

pub use self::{events::EventConsumer, scheduler::RuleScheduler};
