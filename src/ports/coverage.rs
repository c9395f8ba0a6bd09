//! The store of coverage: the counts, findings and history of every location that was evaluated. SQLite and
//! PostgreSQL implement it.

use async_trait::async_trait;
use uuid::Uuid;

use super::unavailable::Unavailable;
use crate::domain::{
    arn::KmsKeyArn,
    association::{Location, Resource},
    aws::{AccountId, Region},
    fleet::{ClassCounts, CoverageClass, Failure, Finding, FindingKind, LocationCoverage},
    tenant::TenantId,
    time::Timestamp,
};

/// Stores what evaluations find, and reads it.
#[async_trait]
pub trait CoverageStore: Send + Sync + 'static {
    /// Stores what an evaluation found in a location, and today's point of the history. Stores nothing if a
    /// later evaluation of the location is stored already.
    async fn record(&self, found: &LocationCoverage) -> Result<FindingChanges, Unavailable>;

    /// Replaces the findings of one resource. The counts of its location stay as they are. Stores nothing if a
    /// later evaluation of the location is stored already.
    async fn record_resource(&self, found: &ResourceFindings) -> Result<FindingChanges, Unavailable>;

    /// Deletes the counts and findings of a rule that was deleted or disabled. The log groups count by the
    /// remaining rules from the next evaluation on.
    async fn delete_rule(&self, tenant: &TenantId, rule: &str) -> Result<FindingChanges, Unavailable>;

    /// Deletes the counts and findings of every location that is not one of these, and the history of tenants
    /// without any.
    async fn retain(&self, existing: &[TenantLocation]) -> Result<FindingChanges, Unavailable>;

    /// Deletes the points of the history of days before this time.
    async fn delete_history(&self, before: Timestamp) -> Result<(), Unavailable>;

    /// The locations that were evaluated, by account, Region and tenant.
    async fn locations(&self, filter: &CoverageFilter) -> Result<Vec<EvaluatedLocation>, Unavailable>;

    /// The counts by location, rule, class and, if wanted, key.
    async fn counts(
        &self,
        filter: &CoverageFilter,
        rules: CountedRules<'_>,
        by_key: bool,
    ) -> Result<Vec<LocationCount>, Unavailable>;

    /// The findings of a window that match the filter, in their order.
    async fn findings(
        &self,
        filter: &FindingFilter,
        window: &FindingWindow,
    ) -> Result<Vec<StoredFinding>, Unavailable>;

    /// The sums of the counts of the tenant's locations on each day, from the day of this time on. `None` is
    /// every tenant, or every location.
    async fn history(
        &self,
        tenant: Option<&TenantId>,
        locations: Option<&[Location]>,
        from: Timestamp,
    ) -> Result<Vec<DailyCoverage>, Unavailable>;

    /// The number of log groups and findings of all tenants.
    async fn totals(&self) -> Result<CoverageTotals, Unavailable>;
}

/// What an evaluation found for one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceFindings {
    /// The tenant.
    pub tenant: TenantId,
    /// The resource.
    pub resource: Resource,
    /// When the evaluation began to read the resource.
    pub as_of: Timestamp,
    /// Its findings.
    pub findings: Vec<Finding>,
}

/// What became of the findings of a location. Findings that did not change are in none of the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingChanges {
    /// Findings that did not exist before.
    pub new: Vec<StoredFinding>,
    /// Findings that still exist, with other details than before.
    pub changed: Vec<StoredFinding>,
    /// Findings that no longer exist.
    pub resolved: Vec<StoredFinding>,
}

/// A finding in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFinding {
    /// The id. It stays the same while the finding lasts.
    pub id: Uuid,
    /// The tenant.
    pub tenant: TenantId,
    /// Since when the same kind of finding exists for the same resource and rule.
    pub since: Timestamp,
    /// The finding.
    pub finding: Finding,
}

/// The position of a finding: findings are ordered by account, Region, name, tenant, rule and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingKey {
    /// The resource.
    pub resource: Resource,
    /// The tenant.
    pub tenant: TenantId,
    /// The rule.
    pub rule: Option<Box<str>>,
    /// The kind.
    pub kind: FindingKind,
}

/// Which locations to read. `None` is every value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoverageFilter {
    /// The tenant.
    pub tenant: Option<TenantId>,
    /// The account.
    pub account: Option<AccountId>,
    /// The Region.
    pub region: Option<Region>,
}

/// By which rules to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedRules<'r> {
    /// By the rule that decides: each log group once.
    Deciding,
    /// By each rule alone.
    Each,
    /// By this rule alone.
    Only(&'r str),
}

/// Which findings to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingFilter {
    /// The locations.
    pub locations: CoverageFilter,
    /// The rule. `None` is every rule.
    pub rule: Option<Box<str>>,
    /// Findings of one of these kinds. Empty is every kind.
    pub kinds: Vec<FindingKind>,
}

/// A part of a list of findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingWindow {
    /// Findings that come after this one.
    pub after: Option<FindingKey>,
    /// How many of these are left out first.
    pub skip: u32,
    /// The maximum number of findings.
    pub limit: u32,
}

/// A location of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantLocation {
    /// The tenant.
    pub tenant: TenantId,
    /// The account and Region.
    pub location: Location,
}

/// A location of a tenant that was evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatedLocation {
    /// The tenant and the location.
    pub at: TenantLocation,
    /// When the last successful evaluation began.
    pub known_as_of: Option<Timestamp>,
    /// Why the last evaluation failed. `None` if it succeeded.
    pub failure: Option<Failure>,
}

/// How many log groups of a location count in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationCount {
    /// The tenant and the location.
    pub at: TenantLocation,
    /// The rule, with [`CountedRules::Each`] and [`CountedRules::Only`].
    pub rule: Option<Box<str>>,
    /// The key that is set, if the counts are by key.
    pub key: Option<KmsKeyArn>,
    /// How they count.
    pub class: CoverageClass,
    /// How many there are.
    pub count: u64,
}

/// The sums of the last counts of locations on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyCoverage {
    /// Midnight UTC, when the day began.
    pub day: Timestamp,
    /// How many locations could not be read at their last evaluation.
    pub failed_locations: u64,
    /// The counts.
    pub counts: ClassCounts,
}

/// The numbers of all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoverageTotals {
    /// The number of log groups.
    pub resources: ClassCounts,
    /// The number of findings that need a repair.
    pub findings: u64,
}

// === impl StoredFinding ===

impl StoredFinding {
    /// The position of the finding.
    #[must_use]
    pub fn key(&self) -> FindingKey {
        let Finding { resource, rule, kind, .. } = &self.finding;
        FindingKey {
            resource: resource.clone(),
            tenant: self.tenant.clone(),
            rule: rule.clone(),
            kind: *kind,
        }
    }
}
