//! The definition of an encryption rule: which resources must have which key. Callers and the configuration
//! write it.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::{
    micros,
    selection::{KeyChoice, Selection},
};
use crate::domain::{association::Target, pattern::Pattern, serde_text, time::Timestamp};

/// The maximum number of changes of one evaluation, if the rule sets none.
pub const DEFAULT_MAX_CHANGES: u32 = 100;
/// Maximum length of a rule's name, in characters.
pub const MAX_DISPLAY_NAME: usize = 128;
/// Maximum length of a rule's id.
const MAX_RULE_ID: usize = 64;

/// The id of a rule: a UUID from the service, or a name from the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(Arc<str>);

/// What a rule requires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleDefinition {
    /// The name for people. Empty if there is none.
    pub display_name: Box<str>,
    /// The resources that must have the key.
    pub selection: Selection,
    /// The key.
    pub key: KeyChoice,
    /// What to do about resources without the key.
    pub mode: RuleMode,
    /// Among enforcing rules, the one with the lowest number decides.
    pub priority: i32,
    /// The log groups to leave as they are.
    pub exemptions: Vec<Exemption>,
    /// An evaluation that would make more changes makes none, and pauses the rule.
    pub max_changes: u32,
}

/// What a rule does about resources without its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RuleMode {
    /// It reports them.
    Report,
    /// It sets the key.
    Enforce,
}

/// Log groups that a rule leaves as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exemption {
    /// The names of the log groups.
    #[serde(with = "serde_text")]
    pub pattern: Pattern,
    /// Why they are exempt, for auditors.
    pub reason: Box<str>,
    /// When the exemption ends. `None` is never.
    #[serde(with = "micros")]
    pub expires: Option<Timestamp>,
}

/// A rule of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredRule {
    /// The id, which is unique within the tenant.
    pub id: RuleId,
    /// What the rule requires.
    pub definition: RuleDefinition,
}

/// The text is not the id of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not the id of an encryption rule; expected 1 to {MAX_RULE_ID} characters of A-Z a-z 0-9 - _ .")]
pub struct InvalidRuleId;

// === impl RuleId ===

impl RuleId {
    /// A new id. Ids ascend with the time of creation.
    #[must_use]
    pub fn new_v7() -> Self {
        Self(Uuid::now_v7().as_hyphenated().to_string().into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the id is one of those that the service makes. A rule of the configuration cannot have one.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        Uuid::try_parse(&self.0).is_ok()
    }
}

impl FromStr for RuleId {
    type Err = InvalidRuleId;

    /// A UUID in any form becomes the form that the service makes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if text.is_empty() || text.len() > MAX_RULE_ID || !text.bytes().all(is_allowed) {
            return Err(InvalidRuleId);
        }
        Ok(Self(match Uuid::try_parse(text) {
            Ok(uuid) => uuid.as_hyphenated().to_string().into(),
            Err(_name) => text.into(),
        }))
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl RuleDefinition ===

impl RuleDefinition {
    /// Whether the rule selects the target, in a location that it selects. Which key the target has now makes no
    /// difference.
    #[must_use]
    pub fn selects(&self, target: &Target) -> bool {
        match target {
            Target::LogGroup(name) => self.selection.includes_name(name),
            Target::QueryResults => self.selection.query_results,
        }
    }

    /// The exemption that applies to the target now.
    #[must_use]
    pub fn exemption(&self, target: &Target, now: Timestamp) -> Option<&Exemption> {
        let Target::LogGroup(name) = target else { return None };
        let applies = |it: &&Exemption| it.applies_at(now) && it.pattern.matches(name.as_str());
        self.exemptions.iter().find(applies)
    }
}

// === impl Exemption ===

impl Exemption {
    /// Whether the exemption has not expired.
    #[must_use]
    pub fn applies_at(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}
