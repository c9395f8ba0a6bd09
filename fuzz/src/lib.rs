//! The fuzz targets, one module for each parser of outside input. Each takes the fuzzer's bytes and asserts
//! what must hold for any input. `tests/it/corpus.rs` runs the same code over the stored inputs.

pub mod arn;
pub mod checkpoint;
pub mod config;
pub mod event;
pub mod group_event;
pub mod jwks;
pub mod key_policy;
pub mod policies;
pub mod token;
