//! The gRPC types generated from `proto/keyassociation/v1/`. Inside the crate, only `server` and `cli` may
//! use them.
#![expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    reason = "generated code"
)]

tonic::include_proto!("keyassociation.v1");

/// The compiled descriptors with their comments, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The files of `proto/`, each with its name and its text.
pub const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
