//! One call as the edge received it: what the use cases and the audit log know of its circumstances.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc, time::Instant};

use thiserror::Error;
use uuid::Uuid;

/// Longest request id of a client that is taken over.
const MAX_REQUEST_ID: usize = 64;

/// The id that ties answers, log lines and audit events of one call together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

/// The circumstances of a call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its id.
    pub request_id: RequestId,
    /// What is called.
    pub action: Action,
    /// Where it comes from, where that is known.
    pub source: Option<IpAddr>,
    /// The client's `user-agent`, bounded, unverified.
    pub unverified_user_agent: Option<Box<str>>,
    /// When it arrived.
    pub received: Instant,
    /// By when the caller is answered.
    pub deadline: Instant,
}

/// What a caller can do: one for each RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sets a key.
    AssociateKmsKey,
    /// Takes a key away.
    DisassociateKmsKey,
    /// Reads one association.
    GetKeyAssociation,
    /// Reads the associations of an account and Region.
    ListKeyAssociations,
    /// Diagnoses a would-be association.
    CheckKeyAssociation,
    /// Tells where a key matters.
    GetKeyUsage,
    /// Tells the caller who it is.
    GetCaller,
    /// Tells what to install in an account.
    GetOnboarding,
    /// Tries what is installed in an account.
    TestAccess,
    /// Reads audit events.
    ListAuditEvents,
    /// Follows audit events.
    WatchAuditEvents,
    /// Reads the audit log's newest checkpoint.
    GetCheckpoint,
    /// Asks for the proof that an event is in the audit log.
    GetInclusionProof,
    /// Asks for the proof that the audit log only grew.
    GetConsistencyProof,
    /// No RPC of this service.
    Unknown,
}

/// The text was not a request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a request id: 1 to {MAX_REQUEST_ID} of A-Z a-z 0-9 - _ . are expected")]
pub struct InvalidRequestId;

// === impl RequestId ===

impl RequestId {
    /// A new one, unlike every other. They ascend, so that an index of them grows at one end only: with
    /// ids from all over, finding its place was a third of the cost of keeping an event.
    #[must_use]
    pub fn new_v7() -> Self {
        let mut text = Uuid::encode_buffer();
        Self(Arc::from(&*Uuid::now_v7().as_hyphenated().encode_lower(&mut text)))
    }

    /// The id.
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
    pub const ALL: [Self; 14] = [
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
    ];

    /// The RPC's name.
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
            Self::Unknown => "Unknown",
        }
    }

    /// The RPC with this name, or [`Action::Unknown`].
    #[must_use]
    pub fn from_grpc_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|action| action.as_str() == name).unwrap_or(Self::Unknown)
    }

    /// Whether it reads the audit log.
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

    /// Whether it changes something in AWS.
    #[must_use]
    pub fn is_mutation(self) -> bool {
        matches!(self, Self::AssociateKmsKey | Self::DisassociateKmsKey)
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
    fn request_ids_of_our_own_ascend() {
        let ids: Vec<_> = (0..1000).map(|_| RequestId::new_v7()).collect();
        assert!(ids.is_sorted_by(|one, next| one.as_str() < next.as_str()));
    }
}
