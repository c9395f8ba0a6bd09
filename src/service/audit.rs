//! Reads of the audit log. A tenant reads its own events, an operator the events of all tenants. The
//! service records each read.

mod archived;
pub(super) mod error;
mod list;
mod proofs;
mod query;
mod watch;

pub use self::{
    error::ReadError,
    list::EventPage,
    proofs::{AuditHead, ConsistencyProof, InclusionProof},
    query::{AuditPorts, AuditQueries},
    watch::{EventBatch, EventStream},
};
