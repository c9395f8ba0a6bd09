//! What is done with the bytes of a fuzzer, and what must be true of it whatever they are. One module a
//! reader of what comes from outside; `tests/it/corpus.rs` runs the same over the kept inputs.

pub mod arn;
pub mod checkpoint;
pub mod config;
pub mod event;
pub mod jwks;
pub mod key_policy;
pub mod policies;
pub mod token;
