//! The stable names in stored events. Changing one changes what existing consumers match on.

use crate::domain::{
    audit::{AuditOperation, FindingChange, FindingRecord, Kind, ReconciliationResult},
    call::Action,
    fleet::FindingKind,
    grpc_code::CODE_NAMES,
    reason::Reason,
};

/// The outcome of a call that succeeded.
const OK: &str = "OK";
/// The state of a finding that no longer exists.
const RESOLVED: &str = "RESOLVED";

/// `activity_id` of the class.
#[derive(Clone, Copy)]
pub(super) enum Activity {
    Unknown = 0,
    Create = 1,
    Read = 2,
    Update = 3,
    Delete = 4,
    Other = 99,
}

/// `metadata.event_code`, which the store also indexes.
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Intent => "intent",
        Kind::Outcome => "outcome",
        Kind::Reconciled(_) => "settled",
        Kind::Read => "read",
        Kind::Refusal => "refusal",
        Kind::Lifecycle => "lifecycle",
        Kind::Finding => "finding",
    }
}

/// `api.operation`, which the store also indexes.
pub(super) fn operation_name(act: AuditOperation) -> &'static str {
    match act {
        AuditOperation::Rpc(action) => action.as_str(),
        AuditOperation::Start => "Start",
        AuditOperation::Stop => "Stop",
        AuditOperation::Reload => "Reload",
        AuditOperation::Lost => "Lost",
        AuditOperation::Archive => "Archive",
        AuditOperation::RotateKey => "RotateKey",
        AuditOperation::RestartLog => "RestartLog",
        AuditOperation::Finding => "Finding",
    }
}

/// Every name of an operation.
pub fn operation_names() -> impl Iterator<Item = &'static str> {
    let own = [
        AuditOperation::Start,
        AuditOperation::Stop,
        AuditOperation::Reload,
        AuditOperation::Lost,
        AuditOperation::Archive,
        AuditOperation::RotateKey,
        AuditOperation::RestartLog,
        AuditOperation::Finding,
    ];
    Action::ALL.into_iter().map(AuditOperation::Rpc).chain(own).map(operation_name)
}

/// Every outcome that events are found by: `OK`, the reasons of failures, and the states of findings.
pub fn outcome_names() -> impl Iterator<Item = &'static str> {
    let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
    let findings = FindingKind::ALL.into_iter().map(FindingKind::as_str);
    [OK].into_iter().chain(reasons).chain(findings).chain([RESOLVED])
}

/// `status_code` of a finding.
pub(super) fn finding_status(finding: &FindingRecord) -> &'static str {
    match finding.change {
        FindingChange::New | FindingChange::Changed => finding.kind,
        FindingChange::Resolved => RESOLVED,
    }
}

pub(super) fn settlement(settlement: ReconciliationResult) -> &'static str {
    match settlement {
        ReconciliationResult::Effective => "in force",
        ReconciliationResult::NotEffective => "not in force",
        ReconciliationResult::Indeterminate => "cannot tell",
    }
}

/// The result of a reconciliation with this stored name.
pub(in crate::audit) fn settlement_outcome(name: &str) -> Option<ReconciliationResult> {
    let all = [
        ReconciliationResult::Effective,
        ReconciliationResult::NotEffective,
        ReconciliationResult::Indeterminate,
    ];
    all.into_iter().find(|candidate| settlement(*candidate) == name)
}

pub(super) fn activity(act: AuditOperation) -> Activity {
    let AuditOperation::Rpc(action) = act else { return Activity::Other };
    match action {
        Action::GetKeyAssociation
        | Action::ListKeyAssociations
        | Action::CheckKeyAssociation
        | Action::GetKeyUsage
        | Action::GetCaller
        | Action::GetOnboarding
        | Action::TestAccess
        | Action::ListAuditEvents
        | Action::WatchAuditEvents
        | Action::GetCheckpoint
        | Action::GetInclusionProof
        | Action::GetConsistencyProof
        | Action::GetBulkAssociation
        | Action::ListBulkAssociations
        | Action::ListBulkAssociationItems
        | Action::WatchBulkAssociation
        | Action::GetEncryptionRule
        | Action::ListEncryptionRules
        | Action::GetCoverage
        | Action::ListCoverageFindings
        | Action::GetCoverageHistory => Activity::Read,
        Action::CreateBulkAssociation | Action::RevertBulkAssociation | Action::CreateEncryptionRule => {
            Activity::Create
        }
        Action::AssociateKmsKey
        | Action::StartBulkAssociation
        | Action::PauseBulkAssociation
        | Action::ResumeBulkAssociation
        | Action::CancelBulkAssociation
        | Action::RetryBulkAssociation
        | Action::UpdateEncryptionRule
        | Action::EvaluateEncryptionRule => Activity::Update,
        Action::DisassociateKmsKey | Action::DeleteEncryptionRule => Activity::Delete,
        Action::Unknown => Activity::Unknown,
    }
}

/// The number of a gRPC status code (<https://grpc.io/docs/guides/status-codes/>).
pub(super) fn grpc_number(name: &str) -> u8 {
    CODE_NAMES
        .iter()
        .position(|candidate| *candidate == name)
        .and_then(|at| u8::try_from(at).ok())
        .unwrap_or(2)
}
