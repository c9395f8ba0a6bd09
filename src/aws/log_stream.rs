//! The `CloudWatch` Logs sink of the audit log: its settings, its batches, and the sink itself.

mod batch;
pub(super) mod config;
pub(super) mod sink;
