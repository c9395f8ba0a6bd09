//! Tests with hand-made tokens and key sets, each of which is wrong in one way.
#![expect(clippy::needless_pass_by_value, reason = "tests pass json! values in place")]

mod arbitrary_input;
mod binding;
mod claims;
mod fetching;
mod headers;
mod issuer_isolation;
mod keys;
mod rotation;
mod signatures;
mod token_builder;
mod token_cache;
mod workloads;
mod wycheproof;
