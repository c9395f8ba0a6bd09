//! The limits that replicas share, in Redis or Valkey: each decision is one script, with the server's clock.
//!
//! A decision waits at most the configured timeout to send its request, and again for the reply. After a
//! failure, the server gets no requests until a heartbeat succeeds. Until then, each replica uses its share
//! or rejects calls, as configured.

mod address;
mod backend;
mod client;
mod quota;
mod scripts;
#[cfg(test)]
mod tests;
mod token_lease;

pub(in crate::limit) use self::backend::SlotReply;
pub use self::{
    address::{InvalidRedisUrl, RedisUrl},
    backend::{LinkState, OnBackendError, RedisBackend, TIMEOUT},
    quota::SharedQuota,
};
