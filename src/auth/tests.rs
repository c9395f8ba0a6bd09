//! Tokens and key sets made by hand, so that each can be wrong in one way.
#![expect(clippy::needless_pass_by_value, reason = "json! is written in place")]

mod binding;
mod claims;
mod fetching;
mod headers;
mod keys;
mod mint;
mod mixing;
mod noise;
mod remembering;
mod rotation;
mod signatures;
mod workloads;
mod wycheproof;
