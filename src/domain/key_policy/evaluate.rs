//! Evaluates whether a key's policy lets `CloudWatch` Logs use the key for one target.

use super::{
    condition,
    condition_keys::{Caller, KmsCall},
    document::{self, Statement},
    element::{Effect, UnreadablePolicy},
    principals::{PrincipalKind, service_principal},
    ternary::Ternary,
};
use crate::domain::{arn::KmsKeyArn, association::Resource};

/// The actions that `CloudWatch` Logs needs on a key, from the documented statement (user guide, "Encrypt log
/// data in `CloudWatch` Logs using AWS KMS"). That statement has `kms:Describe*` too, but under a condition on
/// the encryption context. `DescribeKey` has no encryption context (API reference), so the statement never
/// allows it, and keys with this statement work all the same.
pub const REQUIRED_ACTIONS: [&str; 5] =
    ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey"];

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
    /// The actions are allowed, but a statement may deny one of them. That depends on facts that this service
    /// cannot know.
    MayBeDenied {
        /// What the result depends on, for people.
        reason: String,
    },
    /// Whether the actions are allowed depends on facts that this service cannot know.
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
        let calls = REQUIRED_ACTIONS.map(|action| KmsCall { caller: Caller::Logs, resource, key, action });
        let mut may_be_denied = None;
        for call in &calls {
            match self.any(Effect::Deny, service, call) {
                (Ternary::Yes, Some(statement)) => {
                    return PolicyEvaluation::Denied { statement: statement.name() };
                }
                (Ternary::Unknown, Some(statement)) => {
                    may_be_denied.get_or_insert_with(|| statement.why_indeterminate(call));
                }
                _ => {}
            }
        }
        let mut missing = Vec::new();
        let mut unclear = None;
        for call in &calls {
            match self.any(Effect::Allow, service, call) {
                (Ternary::Unknown, Some(statement)) => {
                    unclear.get_or_insert_with(|| statement.why_indeterminate(call));
                }
                (Ternary::No, _) => missing.push(*call),
                _ => {}
            }
        }
        match (missing.is_empty(), unclear, may_be_denied) {
            (false, ..) => self.missing_actions(&missing, service),
            (true, Some(reason), _) => PolicyEvaluation::Unclear { reason },
            (true, None, Some(reason)) => PolicyEvaluation::MayBeDenied { reason },
            (true, None, None) => PolicyEvaluation::Allows,
        }
    }

    /// Whether any statement with this effect applies, and the statement that determines the result.
    pub(super) fn any(
        &self,
        effect: Effect,
        principal: PrincipalKind<'_>,
        call: &KmsCall<'_>,
    ) -> (Ternary, Option<&Statement>) {
        let mut found = (Ternary::No, None);
        for statement in self.statements.iter().filter(|statement| statement.effect == effect) {
            match statement.applies(principal, call) {
                Ternary::Yes => return (Ternary::Yes, Some(statement)),
                Ternary::Unknown => found = (Ternary::Unknown, found.1.or(Some(statement))),
                Ternary::No => {}
            }
        }
        found
    }

    /// The evaluation when actions are missing: a condition mismatch if a statement would allow one of them
    /// under another condition. A statement for everyone counts only if its condition chooses the target:
    /// one for another service or for an account's own principals is no attempt to allow `CloudWatch` Logs.
    fn missing_actions(&self, missing: &[KmsCall<'_>], service: PrincipalKind<'_>) -> PolicyEvaluation {
        let mut allows = self.statements.iter().filter(|statement| statement.effect == Effect::Allow);
        let mismatch = allows.find_map(|statement| {
            let call = missing.iter().find(|call| statement.covers(service, call) == Ternary::Yes)?;
            let condition = condition::first(&statement.conditions, Effect::Allow, call, Ternary::No)?;
            (statement.names_a_service() || condition.chooses_target()).then_some((statement, condition))
        });
        match mismatch {
            Some((statement, condition)) => PolicyEvaluation::ConditionMismatch {
                statement: statement.name(),
                condition: condition.to_string(),
            },
            None => {
                PolicyEvaluation::LacksService { missing: missing.iter().map(|call| call.action).collect() }
            }
        }
    }
}
