//! The generated service traits: each method parses its request, runs the use case, and converts the result.

mod audit;
mod bulk_association;
pub(super) mod caller;
mod convert;
mod coverage;
mod encryption_rule;
pub(super) mod handler;
mod key_association;
pub(super) mod status;
mod tenant;
