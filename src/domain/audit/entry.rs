//! An event with the state changes that belong to it.

use super::event::Event;
use crate::domain::{association::RecordedAssociation, history::Observation, idempotency::RecordedStep};

/// An event with the state changes that the store writes in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The event to append.
    pub event: Event,
    /// The association that exists if the event records success.
    pub association: Option<RecordedAssociation>,
    /// The observation of the resource before the change.
    pub observation: Option<Observation>,
    /// The step of the request, if it has an idempotency key.
    pub request: Option<RecordedStep>,
}

// === impl JournalEntry ===

impl JournalEntry {
    /// An event that changes no other state.
    #[must_use]
    pub fn event_only(event: Event) -> Self {
        Self { event, association: None, observation: None, request: None }
    }
}
