//! An encryption rule with its state and its last evaluation.

use serde::{Deserialize, Serialize};

use super::{
    creator::Creator,
    item::Failure,
    job_id::JobId,
    micros,
    rule_definition::{ConfiguredRule, RuleDefinition, RuleId, RuleMode},
};
use crate::domain::{
    aws::{AccountId, Region},
    principal::Scope,
    serde_text,
    tenant::TenantId,
    time::Timestamp,
};

/// The issuer of the principal that a rule of the configuration acts as.
const CONFIGURATION: &str = "configuration";

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionRule {
    /// The id.
    pub id: RuleId,
    /// What the rule requires.
    pub definition: RuleDefinition,
    /// Where the rule comes from.
    pub origin: RuleOrigin,
    /// The principal that the rule acts for, with its tenant.
    pub creator: Creator,
    /// When the rule was created. `None` for a rule of the configuration.
    pub created: Option<Timestamp>,
    /// When the definition was last changed. `None` for a rule of the configuration.
    pub updated: Option<Timestamp>,
    /// The state and the last evaluation.
    pub status: RuleStatus,
}

/// Where a rule comes from. The store keeps the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleOrigin {
    /// A caller created it.
    Api = 1,
    /// The configuration declares it.
    Configuration = 2,
}

/// The part of a rule that evaluations change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleStatus {
    /// Whether the rule is evaluated.
    pub state: RuleState,
    /// Why the rule is paused.
    pub pause_reason: Option<Box<str>>,
    /// The number of changes of the definition and the state so far. The rule's etag.
    pub version: u64,
    /// The last evaluation.
    pub evaluation: Option<RuleEvaluation>,
}

/// Whether a rule is evaluated. The store keeps the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleState {
    /// The rule is evaluated.
    Active = 1,
    /// The rule is evaluated and changes nothing, because it would have made too many changes.
    Paused = 2,
    /// The rule is not evaluated.
    Disabled = 3,
}

/// One evaluation of a rule, in all its locations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleEvaluation {
    /// When it began.
    #[serde(with = "micros")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(with = "micros")]
    pub ended: Option<Timestamp>,
    /// How many resources the rule selects, exempt ones included.
    pub groups: u64,
    /// How many of them have the key.
    pub compliant: u64,
    /// How many of them the rule would change.
    pub to_change: u64,
    /// How many findings the rule has.
    pub findings: u64,
    /// The job that makes the changes.
    #[serde(with = "serde_text::option")]
    pub job: Option<JobId>,
    /// Why the evaluation has no result, or made no changes.
    pub failure: Option<Failure>,
    /// The locations that could not be read.
    pub unreadable: Vec<UnreadableLocation>,
}

/// A location that an evaluation could not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableLocation {
    /// The account.
    #[serde(with = "serde_text")]
    pub account: AccountId,
    /// The Region.
    #[serde(with = "serde_text")]
    pub region: Region,
    /// When the last evaluation that could read it began.
    #[serde(with = "micros")]
    pub known_as_of: Option<Timestamp>,
    /// Why it could not be read.
    pub failure: Failure,
}

// === impl EncryptionRule ===

impl EncryptionRule {
    /// The rule of the configuration, as it is before its first evaluation. It acts as the tenant.
    #[must_use]
    pub fn configured(tenant: &TenantId, rule: &ConfiguredRule) -> Self {
        let ConfiguredRule { id, definition } = rule;
        let scopes = [Scope::Read, Scope::Bulk, Scope::Associate];
        let results = definition.selection.query_results.then_some(Scope::QueryResults);
        let creator = Creator {
            on_behalf_of: None,
            actor: None,
            tenant: tenant.clone(),
            subject: format!("rule/{id}").into(),
            issuer: CONFIGURATION.into(),
            scopes: scopes.into_iter().chain(results).map(|scope| scope.as_str().into()).collect(),
            claims: Vec::new(),
            token_id: format!("rule/{id}").into(),
        };
        Self {
            id: id.clone(),
            definition: definition.clone(),
            origin: RuleOrigin::Configuration,
            creator,
            created: None,
            updated: None,
            status: RuleStatus::default(),
        }
    }

    /// The tag of the rule's current version, for `etag`.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("{:x}", self.status.version)
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.creator.tenant
    }

    /// Whether the rule sets keys, unless it is paused.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.definition.mode == RuleMode::Enforce
    }

    /// Whether the rule is evaluated and counts in the coverage.
    #[must_use]
    pub fn is_evaluated(&self) -> bool {
        self.status.state != RuleState::Disabled
    }
}

// === impl RuleStatus ===

impl Default for RuleStatus {
    fn default() -> Self {
        Self { state: RuleState::Active, pause_reason: None, version: 1, evaluation: None }
    }
}

// === impl RuleState ===

impl RuleState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Active, Self::Paused, Self::Disabled];

    /// The number in the store.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The state with this number in the store.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }
}

// === impl RuleOrigin ===

impl RuleOrigin {
    /// The number in the store.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }
}
