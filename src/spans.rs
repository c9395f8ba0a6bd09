//! The spans of `OpenTelemetry` traces. `server`, `service` and `aws` mark the steps of a call with them, `otlp` exports
//! them.
//!
//! They are spans of `tracing` that log lines do not show. Without an exporter they are disabled, and a step has one only
//! within a sampled trace: otherwise nothing is created or formatted.

mod layer;
mod root;
mod step;
#[cfg(test)]
mod tests;

pub use self::{
    layer::{LOG_DIRECTIVE, TARGET, layer},
    root::Root,
    step::{annotate, current_location, fail, fail_span, is_sampled, propagate, step, with_location},
};
