//! The metadata of one call. The edge creates it; the use cases, policy and the audit log use it.

mod summary;
mod trace_id;

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc, time::Instant};

use thiserror::Error;
use uuid::Uuid;

pub use self::{
    summary::CallSummary,
    trace_id::{InvalidTraceparent, TraceId},
};
use super::fleet_kind::FleetKind;

/// Maximum length of a client's request id that the service adopts.
const MAX_REQUEST_ID: usize = 64;

/// The id that the response, the log lines and the audit events of one call share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

/// The metadata of a call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The client's request id, or a new one.
    pub request_id: RequestId,
    /// The called RPC.
    pub action: Action,
    /// The client's address, if it is known.
    pub source: Option<IpAddr>,
    /// The client's `user-agent`, with a bounded length.
    pub unverified_user_agent: Option<Box<str>>,
    /// What the log line says about the call.
    pub summary: CallSummary,
    /// When the call arrived.
    pub received: Instant,
    /// When the service responds at the latest.
    pub deadline: Instant,
}

/// The action of a caller: one for each RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sets the key of a resource.
    AssociateKmsKey,
    /// Removes the key of a resource.
    DisassociateKmsKey,
    /// Reads one association.
    GetKeyAssociation,
    /// Reads the associations of a location.
    ListKeyAssociations,
    /// Checks whether an association would succeed.
    CheckKeyAssociation,
    /// Finds the resources and the data that need a key.
    GetKeyUsage,
    /// Returns the caller's identity, tenant and grants.
    GetCaller,
    /// Returns the role and the policies to install in an account.
    GetOnboarding,
    /// Tests the role that is installed in an account.
    TestAccess,
    /// Reads audit events.
    ListAuditEvents,
    /// Streams audit events as they are recorded.
    WatchAuditEvents,
    /// Reads the audit log's newest checkpoint.
    GetCheckpoint,
    /// Returns the proof that an event is in the audit log.
    GetInclusionProof,
    /// Returns the proof that the audit log was only appended to.
    GetConsistencyProof,
    /// Creates a bulk job and starts to plan it.
    CreateBulkAssociation,
    /// Runs a planned bulk job.
    StartBulkAssociation,
    /// Pauses a bulk job.
    PauseBulkAssociation,
    /// Continues a paused bulk job.
    ResumeBulkAssociation,
    /// Cancels a bulk job.
    CancelBulkAssociation,
    /// Runs the failed items of a bulk job again.
    RetryBulkAssociation,
    /// Creates a bulk job that reverts another one.
    RevertBulkAssociation,
    /// Reads a bulk job.
    GetBulkAssociation,
    /// Lists bulk jobs.
    ListBulkAssociations,
    /// Lists the items of a bulk job.
    ListBulkAssociationItems,
    /// Streams the progress of a bulk job.
    WatchBulkAssociation,
    /// Creates an encryption rule.
    CreateEncryptionRule,
    /// Reads an encryption rule.
    GetEncryptionRule,
    /// Lists encryption rules.
    ListEncryptionRules,
    /// Changes an encryption rule.
    UpdateEncryptionRule,
    /// Deletes an encryption rule.
    DeleteEncryptionRule,
    /// Evaluates an encryption rule now.
    EvaluateEncryptionRule,
    /// Counts resources by whether they have the key that their rule requires.
    GetCoverage,
    /// Lists resources that do not have the key that their rule requires.
    ListCoverageFindings,
    /// Returns the coverage of each day.
    GetCoverageHistory,
    /// A method that this service does not have.
    Unknown,
}

/// The text is not a request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a request id; expected 1 to {MAX_REQUEST_ID} characters of A-Z a-z 0-9 - _ .")]
pub struct InvalidRequestId;

// === impl RequestId ===

impl RequestId {
    /// A new unique id. Ids ascend, so that an index on them grows at one end only. With random ids,
    /// inserting into the index took a third of the time of storing an event.
    #[must_use]
    pub fn new_v7() -> Self {
        let mut text = Uuid::encode_buffer();
        Self(Arc::from(&*Uuid::now_v7().as_hyphenated().encode_lower(&mut text)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if (1..=MAX_REQUEST_ID).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRequestId)
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Action ===

impl Action {
    /// Every RPC.
    pub const ALL: [Self; 34] = [
        Self::AssociateKmsKey,
        Self::DisassociateKmsKey,
        Self::GetKeyAssociation,
        Self::ListKeyAssociations,
        Self::CheckKeyAssociation,
        Self::GetKeyUsage,
        Self::GetCaller,
        Self::GetOnboarding,
        Self::TestAccess,
        Self::ListAuditEvents,
        Self::WatchAuditEvents,
        Self::GetCheckpoint,
        Self::GetInclusionProof,
        Self::GetConsistencyProof,
        Self::CreateBulkAssociation,
        Self::StartBulkAssociation,
        Self::PauseBulkAssociation,
        Self::ResumeBulkAssociation,
        Self::CancelBulkAssociation,
        Self::RetryBulkAssociation,
        Self::RevertBulkAssociation,
        Self::GetBulkAssociation,
        Self::ListBulkAssociations,
        Self::ListBulkAssociationItems,
        Self::WatchBulkAssociation,
        Self::CreateEncryptionRule,
        Self::GetEncryptionRule,
        Self::ListEncryptionRules,
        Self::UpdateEncryptionRule,
        Self::DeleteEncryptionRule,
        Self::EvaluateEncryptionRule,
        Self::GetCoverage,
        Self::ListCoverageFindings,
        Self::GetCoverageHistory,
    ];

    /// The name of the RPC.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AssociateKmsKey => "AssociateKmsKey",
            Self::DisassociateKmsKey => "DisassociateKmsKey",
            Self::GetKeyAssociation => "GetKeyAssociation",
            Self::ListKeyAssociations => "ListKeyAssociations",
            Self::CheckKeyAssociation => "CheckKeyAssociation",
            Self::GetKeyUsage => "GetKeyUsage",
            Self::GetCaller => "GetCaller",
            Self::GetOnboarding => "GetOnboarding",
            Self::TestAccess => "TestAccess",
            Self::ListAuditEvents => "ListAuditEvents",
            Self::WatchAuditEvents => "WatchAuditEvents",
            Self::GetCheckpoint => "GetCheckpoint",
            Self::GetInclusionProof => "GetInclusionProof",
            Self::GetConsistencyProof => "GetConsistencyProof",
            Self::CreateBulkAssociation => "CreateBulkAssociation",
            Self::StartBulkAssociation => "StartBulkAssociation",
            Self::PauseBulkAssociation => "PauseBulkAssociation",
            Self::ResumeBulkAssociation => "ResumeBulkAssociation",
            Self::CancelBulkAssociation => "CancelBulkAssociation",
            Self::RetryBulkAssociation => "RetryBulkAssociation",
            Self::RevertBulkAssociation => "RevertBulkAssociation",
            Self::GetBulkAssociation => "GetBulkAssociation",
            Self::ListBulkAssociations => "ListBulkAssociations",
            Self::ListBulkAssociationItems => "ListBulkAssociationItems",
            Self::WatchBulkAssociation => "WatchBulkAssociation",
            Self::CreateEncryptionRule => "CreateEncryptionRule",
            Self::GetEncryptionRule => "GetEncryptionRule",
            Self::ListEncryptionRules => "ListEncryptionRules",
            Self::UpdateEncryptionRule => "UpdateEncryptionRule",
            Self::DeleteEncryptionRule => "DeleteEncryptionRule",
            Self::EvaluateEncryptionRule => "EvaluateEncryptionRule",
            Self::GetCoverage => "GetCoverage",
            Self::ListCoverageFindings => "ListCoverageFindings",
            Self::GetCoverageHistory => "GetCoverageHistory",
            Self::Unknown => "Unknown",
        }
    }

    /// The action of the RPC with this name, or [`Action::Unknown`].
    #[must_use]
    pub fn from_grpc_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|action| action.as_str() == name).unwrap_or(Self::Unknown)
    }

    /// Whether the action reads the audit log.
    #[must_use]
    pub fn reads_audit(self) -> bool {
        matches!(
            self,
            Self::ListAuditEvents
                | Self::WatchAuditEvents
                | Self::GetCheckpoint
                | Self::GetInclusionProof
                | Self::GetConsistencyProof
        )
    }

    /// The kind of object that the action is about, if it is one of the fleet's.
    #[must_use]
    pub fn fleet_kind(self) -> Option<FleetKind> {
        match self {
            Self::CreateBulkAssociation
            | Self::StartBulkAssociation
            | Self::PauseBulkAssociation
            | Self::ResumeBulkAssociation
            | Self::CancelBulkAssociation
            | Self::RetryBulkAssociation
            | Self::RevertBulkAssociation
            | Self::GetBulkAssociation
            | Self::ListBulkAssociations
            | Self::ListBulkAssociationItems
            | Self::WatchBulkAssociation => Some(FleetKind::BulkJob),
            Self::CreateEncryptionRule
            | Self::GetEncryptionRule
            | Self::ListEncryptionRules
            | Self::UpdateEncryptionRule
            | Self::DeleteEncryptionRule
            | Self::EvaluateEncryptionRule => Some(FleetKind::EncryptionRule),
            Self::GetCoverage | Self::ListCoverageFindings | Self::GetCoverageHistory => {
                Some(FleetKind::Coverage)
            }
            Self::AssociateKmsKey
            | Self::DisassociateKmsKey
            | Self::GetKeyAssociation
            | Self::ListKeyAssociations
            | Self::CheckKeyAssociation
            | Self::GetKeyUsage
            | Self::GetCaller
            | Self::GetOnboarding
            | Self::TestAccess
            | Self::ListAuditEvents
            | Self::WatchAuditEvents
            | Self::GetCheckpoint
            | Self::GetInclusionProof
            | Self::GetConsistencyProof
            | Self::Unknown => None,
        }
    }

    /// Whether the action changes AWS.
    #[must_use]
    pub fn is_mutation(self) -> bool {
        matches!(self, Self::AssociateKmsKey | Self::DisassociateKmsKey)
    }

    /// Whether the response is a stream, which can outlast what was checked when it was opened.
    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(self, Self::WatchAuditEvents | Self::WatchBulkAssociation)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_found_by_its_name() {
        for action in Action::ALL {
            assert_eq!(Action::from_grpc_name(action.as_str()), action);
        }
        assert_eq!(Action::from_grpc_name("DropEverything"), Action::Unknown);
    }

    #[test]
    fn a_request_id_cannot_break_a_line_or_a_header() {
        for text in ["", "a b", "a\nb", "ü", &"x".repeat(65)] {
            assert_eq!(text.parse::<RequestId>(), Err(InvalidRequestId), "{text:?}");
        }
        assert!(RequestId::new_v7().as_str().parse::<RequestId>().is_ok());
    }

    #[test]
    fn generated_request_ids_ascend() {
        let ids: Vec<_> = (0..1000).map(|_| RequestId::new_v7()).collect();
        assert!(ids.is_sorted_by(|one, next| one.as_str() < next.as_str()));
    }
}
