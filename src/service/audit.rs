//! Reads the audit log: a tenant its own events, an operator those of all tenants. Each read is itself
//! recorded.

pub(super) mod error;
mod list;
mod proofs;
mod query;
mod streams;
mod watch;

pub use self::{
    error::ReadError,
    list::EventPage,
    proofs::{AuditHead, ConsistencyProof, InclusionProof},
    query::{AuditPorts, AuditQueries},
    streams::StreamLimits,
    watch::{EventBatch, EventStream},
};
