//! The kinds of objects of the fleet, for policy.

/// The kinds of objects of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FleetKind {
    /// Bulk jobs.
    BulkJob,
    /// Encryption rules.
    EncryptionRule,
    /// Coverage and its findings.
    Coverage,
}

// === impl FleetKind ===

impl FleetKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::BulkJob, Self::EncryptionRule, Self::Coverage];
}
