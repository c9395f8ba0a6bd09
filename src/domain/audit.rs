//! Audit events: their content, their ids, and the state changes that are stored with them.

mod entry;
mod event;
mod finding;
pub(super) mod id;
pub(crate) mod schema;

pub use self::{
    entry::JournalEntry,
    event::{
        Actor, AuditOperation, AwsCallRecord, Completion, DecisionRecord, Event, Keys, Kind, LogEvent,
        ReconciliationResult,
    },
    finding::{Compliance, FindingChange, FindingRecord},
    id::EventId,
};
