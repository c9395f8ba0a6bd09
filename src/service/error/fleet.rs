//! Errors of bulk jobs.

use thiserror::Error;

use crate::domain::{
    fleet::{JobId, Refused, RuleId},
    reason::Reason,
};

/// Why a call for a bulk job failed.
#[derive(Debug, Error)]
pub enum FleetError {
    /// The job does not exist, or the caller may not see it.
    #[error("bulk job {0} was not found")]
    JobNotFound(JobId),
    /// The call does not fit the state of the job.
    #[error(transparent)]
    State(#[from] Refused),
    /// The object changed since the caller read it.
    #[error("the object has another etag")]
    EtagMismatch {
        /// The current etag.
        current: String,
    },
    /// The tenant has its maximum of open jobs.
    #[error("the tenant has {max} open bulk jobs")]
    TooManyJobs {
        /// The maximum.
        max: u32,
    },
    /// The rule comes from the configuration.
    #[error("encryption rule {0} comes from the configuration")]
    RuleReadOnly(RuleId),
    /// The rule is disabled.
    #[error("encryption rule {0} is disabled")]
    RuleDisabled(RuleId),
    /// The tenant has its maximum of rules.
    #[error("the tenant has {max} encryption rules")]
    TooManyRules {
        /// The maximum.
        max: u32,
    },
    /// Other calls changed the object again and again while this one tried to.
    #[error("other calls changed the object at the same time")]
    Contended,
    /// The selection has more resources than a job may have.
    #[error("the selection has more than {max} resources")]
    TooManyItems {
        /// The maximum.
        max: u64,
    },
    /// No location of the job can be entered.
    #[error("none of the accounts and Regions of the job can be entered")]
    NoLocation,
}

// === impl FleetError ===

impl FleetError {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::JobNotFound(_) => Reason::BulkAssociationNotFound,
            Self::State(_) => Reason::JobState,
            Self::EtagMismatch { .. } => Reason::EtagMismatch,
            Self::TooManyJobs { .. } => Reason::TenantJobsLimited,
            Self::RuleReadOnly(_) => Reason::RuleReadOnly,
            Self::RuleDisabled(_) => Reason::RuleState,
            Self::TooManyRules { .. } => Reason::TenantRulesLimited,
            Self::Contended => Reason::ConflictingChange,
            Self::TooManyItems { .. } => Reason::TooManyItems,
            Self::NoLocation => Reason::RoleNotAssumable,
        }
    }
}
