//! The messages and the client stubs generated from `proto/keyassociation/v1/`, with their descriptors.
#![expect(clippy::allow_attributes_without_reason, clippy::pedantic, reason = "generated code")]

tonic::include_proto!("keyassociation.v1");

/// The compiled descriptors, for the JSON mapping.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
