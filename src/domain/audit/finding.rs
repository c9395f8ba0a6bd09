//! A finding of coverage, as an audit event records it.

use uuid::Uuid;

use crate::domain::time::Timestamp;

/// A finding that is new, has changed or no longer exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingRecord {
    /// The id of the finding, which stays the same while it lasts.
    pub id: Uuid,
    /// What happened to it.
    pub change: FindingChange,
    /// The stable name of what is wrong.
    pub kind: &'static str,
    /// What is wrong with the resource, as a short title.
    pub title: &'static str,
    /// Whether the resource conforms to the rule, after the change.
    pub compliance: Compliance,
    /// The rule.
    pub rule: Option<Box<str>>,
    /// When it was first observed.
    pub since: Timestamp,
    /// What is wrong.
    pub message: Box<str>,
    /// What to do. Empty if nothing needs to be done.
    pub remedy: Box<str>,
    /// The policy statement to add.
    pub remedy_document: Option<Box<str>>,
    /// The ARN of the key that is set.
    pub current_key: Option<Box<str>>,
    /// The ARN of the principal that last changed the key.
    pub changed_by: Option<Box<str>>,
}

/// What happened to a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingChange {
    /// It did not exist before.
    New,
    /// It has other details than before.
    Changed,
    /// It no longer exists.
    Resolved,
}

/// Whether a resource conforms to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compliance {
    /// It is not known.
    Unknown,
    /// It conforms.
    Pass,
    /// It does not have to conform, such as an exempt resource.
    Warning,
    /// It does not conform.
    Fail,
}
