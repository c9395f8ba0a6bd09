//! The result of a change.

use crate::domain::{
    association::{KeyAssociation, Warning},
    audit::EventId,
};

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The association from now on.
    pub association: KeyAssociation,
    /// The audit event that holds the outcome; none where nothing was changed.
    pub event: Option<EventId>,
    /// AWS's id of the call.
    pub aws_request_id: Box<str>,
    /// What the caller should know.
    pub warnings: Vec<Warning>,
}
