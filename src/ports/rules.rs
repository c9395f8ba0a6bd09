//! The store of encryption rules: the rules themselves, who evaluates which tenant when, and the repairs of
//! resources. SQLite and PostgreSQL implement it.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::unavailable::Unavailable;
use crate::domain::{
    association::Resource,
    fleet::{EncryptionRule, RuleEvaluation, RuleId, RuleState},
    tenant::TenantId,
    time::Timestamp,
};

/// Stores rules and reads them. The rules of the configuration are stored only with their status.
#[async_trait]
pub trait RuleStore: Send + Sync + 'static {
    /// Stores a new rule, unless its request was stored before or the tenant has its maximum of rules. The
    /// tenant is due for an evaluation then.
    async fn create(&self, new: &NewRule) -> Result<RuleCreation, Unavailable>;

    /// The rule of a caller with this id, of this tenant or of any.
    async fn find(
        &self,
        tenant: Option<&TenantId>,
        id: &RuleId,
    ) -> Result<Option<EncryptionRule>, Unavailable>;

    /// At most `limit` rules of callers that match the filter, by priority, id and tenant.
    async fn list(&self, filter: &RuleFilter, limit: u32) -> Result<Vec<EncryptionRule>, Unavailable>;

    /// The status of the rules of the configuration of this tenant, as they were when they were stored.
    async fn configured(&self, tenant: &TenantId) -> Result<Vec<EncryptionRule>, Unavailable>;

    /// Stores a new definition and state, and makes the tenant due for an evaluation. Returns `false`, and
    /// stores nothing, if the rule has another version than the one before `rule`.
    async fn update(&self, rule: &EncryptionRule) -> Result<bool, Unavailable>;

    /// Deletes a rule, and makes the tenant due for an evaluation. Returns `false`, and deletes nothing, if the
    /// rule has another version.
    async fn delete(&self, rule: &EncryptionRule) -> Result<bool, Unavailable>;

    /// Stores the evaluation of a rule, and its new state if the rule still has the evaluated version. Stores a
    /// rule of the configuration if it is not stored yet.
    async fn record_evaluation(&self, evaluated: &EvaluatedRule) -> Result<(), Unavailable>;

    /// Deletes the rules of a tenant that the configuration no longer has.
    async fn retain_configured(&self, tenant: &TenantId, existing: &[RuleId]) -> Result<(), Unavailable>;
}

/// Distributes the evaluation of tenants between replicas.
///
/// A worker claims a tenant and is then the only one that evaluates it. The claim ends when the worker does not
/// confirm it for the time of its lease.
#[async_trait]
pub trait RuleSchedule: Send + Sync + 'static {
    /// Makes a tenant due at this time, if it is not due earlier. An evaluation that is running does not change
    /// that.
    async fn make_due(&self, tenant: &TenantId, at: Timestamp) -> Result<(), Unavailable>;

    /// At most `limit` tenants that are due and that no worker evaluates, those that wait longest first.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<TenantId>, Unavailable>;

    /// When the tenant is due for its next evaluation. `None` if it has no rules.
    async fn next(&self, tenant: &TenantId) -> Result<Option<Timestamp>, Unavailable>;

    /// Claims a tenant, due or not, for the time of the lease. `None` if another claim exists.
    async fn claim(&self, tenant: &TenantId, lease: Duration)
    -> Result<Option<EvaluationClaim>, Unavailable>;

    /// Confirms a claim for the time of the lease. Returns `false` if the claim has ended.
    async fn confirm(&self, claim: &EvaluationClaim, lease: Duration) -> Result<bool, Unavailable>;

    /// Ends a claim. The tenant is due at `next`, or earlier if it became due since the claim. `None` is never:
    /// the tenant has no rules.
    async fn release(&self, claim: &EvaluationClaim, next: Option<Timestamp>) -> Result<(), Unavailable>;
}

/// Keeps the repairs of resources, so that a resource that changes back and forth is left alone.
#[async_trait]
pub trait RepairLog: Send + Sync + 'static {
    /// How often each of these resources was repaired for this tenant since this time, in their order.
    async fn count(
        &self,
        tenant: &TenantId,
        resources: &[Resource],
        since: Timestamp,
    ) -> Result<Vec<u32>, Unavailable>;

    /// Records a repair of each of these resources, and forgets repairs before `forget`.
    async fn record(
        &self,
        tenant: &TenantId,
        resources: &[Resource],
        at: Timestamp,
        forget: Timestamp,
    ) -> Result<(), Unavailable>;
}

/// A rule to store.
#[derive(Clone, Debug)]
pub struct NewRule {
    /// The rule.
    pub rule: EncryptionRule,
    /// The request that creates the rule, if it can be repeated.
    pub request: Option<RuleRequest>,
    /// How many rules the tenant may have.
    pub max_rules: u32,
}

/// A request that creates a rule, by its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRequest {
    /// The caller's `request_id`.
    pub id: Uuid,
    /// The hash of what the request asks for.
    pub fingerprint: Box<str>,
    /// Requests before this time are forgotten.
    pub since: Timestamp,
}

/// What became of a rule to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleCreation {
    /// The rule is stored.
    Created,
    /// The same request created this rule before.
    Exists(RuleId),
    /// A different request with the same idempotency key created a rule before.
    RequestIdReused,
    /// The tenant has its maximum of rules.
    TooMany,
}

/// Which rules to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFilter {
    /// Rules of this tenant.
    pub tenant: Option<TenantId>,
    /// Rules in one of these states. Empty is every state.
    pub states: Vec<RuleState>,
    /// Rules after this one.
    pub after: Option<RuleKey>,
}

/// The position of a rule: rules are ordered by priority, id and tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleKey {
    /// The priority.
    pub priority: i32,
    /// The id.
    pub id: RuleId,
    /// The tenant.
    pub tenant: TenantId,
}

/// A rule after an evaluation.
#[derive(Clone, Debug)]
pub struct EvaluatedRule {
    /// The rule as it was evaluated.
    pub rule: EncryptionRule,
    /// The evaluation.
    pub evaluation: RuleEvaluation,
    /// The new state, if the evaluation changes it.
    pub state: Option<EvaluatedState>,
}

/// A state that an evaluation gives a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvaluatedState {
    /// The rule is active again.
    Active,
    /// The rule is paused for this reason.
    Paused(Box<str>),
}

/// The exclusive right to evaluate a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationClaim {
    /// The tenant.
    pub tenant: TenantId,
    /// The id of the claim.
    pub id: Uuid,
    /// How often the tenant was made due before the claim.
    pub generation: u64,
}

// === impl RuleKey ===

impl From<&EncryptionRule> for RuleKey {
    fn from(rule: &EncryptionRule) -> Self {
        let (priority, id) = (rule.definition.priority, rule.id.clone());
        Self { priority, id, tenant: rule.tenant().clone() }
    }
}
