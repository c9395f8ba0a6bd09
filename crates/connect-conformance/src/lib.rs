//! The messages of Connect's conformance suite, from its `.proto` files.
#![expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    missing_docs,
    reason = "generated code"
)]

include!(concat!(env!("OUT_DIR"), "/connectrpc.conformance.v1.rs"));

/// The compiled descriptors of the messages and their service.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
