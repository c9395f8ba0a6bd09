//! The kinds of resources in policies, and which actions apply to them.

use crate::domain::{
    association::Target,
    authorization::{AuthzRequest, ResourceScope},
    call::Action,
};

/// The id of the audit log of all tenants. No tenant can have this id.
pub(super) const WHOLE_LOG: &str = "*";

/// The kinds of resources in policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ResourceKind {
    /// A log group.
    LogGroup,
    /// Stored query results.
    QueryResults,
    /// An account and a Region.
    Location,
    /// The audit log of one tenant or of all.
    AuditLog,
    /// The caller's own tenant.
    Tenant,
    /// An account in all Regions.
    Account,
}

// === impl ResourceKind ===

impl ResourceKind {
    /// The kind of the resource that the call is about. None if the action does not apply to it.
    pub(super) fn of(question: &AuthzRequest<'_>) -> Option<Self> {
        let kind = match question.about {
            ResourceScope::Aws { target: Some(Target::LogGroup(_)), .. } => Self::LogGroup,
            ResourceScope::Aws { target: Some(Target::QueryResults), .. } => Self::QueryResults,
            ResourceScope::Aws { target: None, .. } => Self::Location,
            ResourceScope::AuditLog(_) => Self::AuditLog,
            ResourceScope::Tenant => Self::Tenant,
            ResourceScope::Account(_) => Self::Account,
        };
        let is_target = matches!(kind, Self::LogGroup | Self::QueryResults);
        let applies = match question.action {
            // Without a key, policies about keys would not apply.
            Action::AssociateKmsKey => is_target && question.key.is_some(),
            Action::DisassociateKmsKey => is_target && question.key.is_none(),
            Action::GetKeyAssociation | Action::CheckKeyAssociation => is_target,
            Action::ListKeyAssociations | Action::GetKeyUsage | Action::TestAccess => kind == Self::Location,
            Action::ListAuditEvents
            | Action::WatchAuditEvents
            | Action::GetCheckpoint
            | Action::GetInclusionProof
            | Action::GetConsistencyProof => kind == Self::AuditLog,
            Action::GetCaller => kind == Self::Tenant,
            Action::GetOnboarding => kind == Self::Account,
            Action::Unknown => false,
        };
        applies.then_some(kind)
    }
}
