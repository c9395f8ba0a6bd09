//! The result of a change.

use crate::domain::{
    association::{KeyAssociation, Warning},
    audit::EventId,
};

/// The response to a change that AWS made, or to a dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The association after the change.
    pub association: KeyAssociation,
    /// The audit event with the outcome. `None` for a dry run.
    pub event: Option<EventId>,
    /// AWS's request id of the call. Empty for a dry run, or if the outcome was read back.
    pub aws_request_id: Box<str>,
    /// What the caller should know although the call succeeded.
    pub warnings: Vec<Warning>,
}
