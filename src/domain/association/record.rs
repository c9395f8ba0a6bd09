//! The service's own record of an association, and where a response has its information from.

use std::time::Duration;

use super::resource::Resource;
use crate::domain::{arn::KmsKeyArn, time::Timestamp};

/// The maximum time until a change takes effect in AWS (`AssociateKmsKey` in the API reference).
pub const PROPAGATION_DELAY: Duration = Duration::from_mins(5);

/// The last change of a resource that was made through this service, according to its own record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAssociation {
    /// The changed resource.
    pub resource: Resource,
    /// The key. `None` means that it was removed.
    pub key: Option<KmsKeyArn>,
    /// The key before the change, if it was known.
    pub previous_key: Option<KmsKeyArn>,
    /// When AWS accepted the change.
    pub accepted: Timestamp,
}

/// The source of the information in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Read from AWS for this response.
    Live,
    /// Taken from the service's own record.
    Recorded,
}
