//! The middleware of every call. `stack` lists the layers in order, each with its reason.

mod asserted_user;
mod auth_throttle;
mod authn;
mod call_metrics;
mod call_span;
mod client_timeout;
pub(super) mod cors;
mod error_normalizer;
mod load_shed;
mod log_sampler;
mod middleware;
mod open_calls;
mod quota;
mod rejection;
pub(super) mod stack;
pub(super) mod trace;
