//! The kinds of resources in policies, and which actions apply to them.

use crate::domain::{
    association::Target,
    authorization::{AuthzRequest, ResourceScope},
    call::Action,
    fleet_kind::FleetKind,
};

/// The id of the audit log, or of the fleet's objects, of all tenants. No tenant can have this id.
pub(super) const ALL_TENANTS: &str = "*";

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
    /// An object of the fleet.
    Fleet(FleetKind),
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
            ResourceScope::Fleet(resource) => Self::Fleet(resource.kind),
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
            Action::CreateBulkAssociation
            | Action::StartBulkAssociation
            | Action::PauseBulkAssociation
            | Action::ResumeBulkAssociation
            | Action::CancelBulkAssociation
            | Action::RetryBulkAssociation
            | Action::RevertBulkAssociation
            | Action::GetBulkAssociation
            | Action::ListBulkAssociations
            | Action::ListBulkAssociationItems
            | Action::WatchBulkAssociation
            | Action::CreateEncryptionRule
            | Action::GetEncryptionRule
            | Action::ListEncryptionRules
            | Action::UpdateEncryptionRule
            | Action::DeleteEncryptionRule
            | Action::EvaluateEncryptionRule
            | Action::GetCoverage
            | Action::ListCoverageFindings
            | Action::GetCoverageHistory => question.action.fleet_kind().map(Self::Fleet) == Some(kind),
            Action::Unknown => false,
        };
        applies.then_some(kind)
    }
}
