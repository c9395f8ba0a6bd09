//! The id of a bulk job.

use std::{fmt, str::FromStr};

use thiserror::Error;
use uuid::Uuid;

/// The id of a bulk job: a UUID. Ids ascend with the time of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(Uuid);

/// The text is not the id of a bulk job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not the id of a bulk job; expected a UUID as CreateBulkAssociation returns it")]
pub struct InvalidJobId;

// === impl JobId ===

impl JobId {
    /// A new id.
    #[must_use]
    pub fn new_v7() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id without hyphens, for request ids of the job's items.
    #[must_use]
    pub fn as_simple(&self) -> impl fmt::Display {
        self.0.as_simple()
    }
}

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_not_a_uuid| InvalidJobId)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}
