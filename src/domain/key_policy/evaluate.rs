//! Evaluates whether a key's policy lets `CloudWatch` Logs use the key for one target.

use super::{
    condition::{self, Facts},
    document::{self, Statement},
    element::{Effect, UnreadablePolicy},
    principals::{PrincipalKind, service_principal},
    ternary::Ternary,
};
use crate::domain::{arn::KmsKeyArn, association::Resource};

/// The actions that `CloudWatch` Logs needs on a key: one for each action in the documented statement
/// (`CloudWatch` Logs user guide, "Encrypt log data in `CloudWatch` Logs using AWS KMS").
pub const REQUIRED_ACTIONS: [&str; 6] = [
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:GenerateDataKey",
    "kms:DescribeKey",
];

/// A parsed key policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    statements: Vec<Statement>,
}

/// Whether a key policy lets `CloudWatch` Logs use the key for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyEvaluation {
    /// `CloudWatch` Logs may perform every required action.
    Allows,
    /// No statement lets `CloudWatch` Logs perform some of the actions.
    LacksService {
        /// The missing actions, a subset of [`REQUIRED_ACTIONS`].
        missing: Vec<&'static str>,
    },
    /// A statement lets `CloudWatch` Logs use the key, but only for other targets.
    ConditionMismatch {
        /// The statement's `Sid`, or its number in the policy.
        statement: String,
        /// The condition that does not hold.
        condition: String,
    },
    /// A statement denies the use of the key.
    Denied {
        /// The statement's `Sid`, or its number in the policy.
        statement: String,
    },
    /// The result depends on facts that this service cannot know.
    Unclear {
        /// What the result depends on, for people.
        reason: String,
    },
}

// === impl KeyPolicy ===

impl KeyPolicy {
    /// Parses a policy as `GetKeyPolicy` returns it.
    ///
    /// # Errors
    ///
    /// [`UnreadablePolicy`] if the text is not a policy.
    pub fn parse(text: &str) -> Result<Self, UnreadablePolicy> {
        Ok(Self { statements: document::read(text)? })
    }

    /// Whether the policy lets `CloudWatch` Logs use `key` for `resource`.
    #[must_use]
    pub fn evaluate(&self, key: &KmsKeyArn, resource: &Resource) -> PolicyEvaluation {
        let service = service_principal(&resource.location);
        let service = PrincipalKind::Service(&service);
        let facts = Facts::for_service(resource);
        let mut missing = Vec::new();
        let mut unclear = None;
        for action in REQUIRED_ACTIONS {
            let (denied, by) = self.any(Effect::Deny, service, action, key, &facts);
            match (denied, by) {
                (Ternary::Yes, Some(statement)) => {
                    return PolicyEvaluation::Denied { statement: statement.name() };
                }
                (Ternary::Unknown, Some(statement)) => {
                    unclear.get_or_insert_with(|| statement.why_indeterminate(&facts));
                }
                _ => {}
            }
            let (allowed, by) = self.any(Effect::Allow, service, action, key, &facts);
            match (allowed, by) {
                (Ternary::Unknown, Some(statement)) => {
                    unclear.get_or_insert_with(|| statement.why_indeterminate(&facts));
                }
                (Ternary::No, _) => missing.push(action),
                _ => {}
            }
        }
        if !missing.is_empty() {
            return self.missing_actions(missing, service, key, &facts);
        }
        unclear.map_or(PolicyEvaluation::Allows, |reason| PolicyEvaluation::Unclear { reason })
    }

    /// Whether any statement with this effect applies, and the statement that determines the result.
    pub(super) fn any(
        &self,
        effect: Effect,
        principal: PrincipalKind<'_>,
        action: &str,
        key: &KmsKeyArn,
        facts: &Facts,
    ) -> (Ternary, Option<&Statement>) {
        let mut found = (Ternary::No, None);
        for statement in self.statements.iter().filter(|statement| statement.effect == effect) {
            let applies = statement
                .covers(principal, action, key)
                .and(|| condition::all_hold(&statement.conditions, effect, facts));
            match applies {
                Ternary::Yes => return (Ternary::Yes, Some(statement)),
                Ternary::Unknown => found = (Ternary::Unknown, found.1.or(Some(statement))),
                Ternary::No => {}
            }
        }
        found
    }

    /// The evaluation when actions are missing: a condition mismatch if a statement would allow one of them
    /// under another condition.
    fn missing_actions(
        &self,
        missing: Vec<&'static str>,
        service: PrincipalKind<'_>,
        key: &KmsKeyArn,
        facts: &Facts,
    ) -> PolicyEvaluation {
        let candidate = self.statements.iter().find(|statement| {
            let covers = |action: &&&str| statement.covers(service, action, key) == Ternary::Yes;
            statement.effect == Effect::Allow && missing.iter().any(|action| covers(&action))
        });
        let failing = candidate.and_then(|statement| {
            Some((statement, condition::first(&statement.conditions, Effect::Allow, facts, Ternary::No)?))
        });
        match failing {
            Some((statement, condition)) => PolicyEvaluation::ConditionMismatch {
                statement: statement.name(),
                condition: condition.to_string(),
            },
            None => PolicyEvaluation::LacksService { missing },
        }
    }
}
