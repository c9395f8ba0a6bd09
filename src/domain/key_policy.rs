//! Whether a key's policy lets `CloudWatch` Logs use the key for one target, and whether it lets a
//! role.
//!
//! A policy is judged in three values: what cannot be judged from here is [`Judgement::Unclear`],
//! never [`Judgement::Allows`].

mod condition;
mod document;
mod glob;
mod principals;
mod role;
mod ternary;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use self::role::PrincipalAccess;
use self::{
    condition::Facts,
    document::{Effect, Statement},
    principals::PrincipalKind,
    ternary::Ternary,
};
use super::{
    arn::KmsKeyArn,
    association::{Location, Resource},
    aws::Partition,
};

/// What `CloudWatch` Logs does with a key ("Encrypt log data in `CloudWatch` Logs using AWS KMS",
/// user guide): one action for each that the documented statement names.
pub const REQUIRED_ACTIONS: [&str; 6] = [
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:GenerateDataKey",
    "kms:DescribeKey",
];

/// A key policy that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    statements: Vec<Statement>,
}

/// What a key policy says of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyEvaluation {
    /// `CloudWatch` Logs may do everything it has to.
    Allows,
    /// No statement lets `CloudWatch` Logs do these.
    LacksService {
        /// The actions that are missing, of [`NEEDED`].
        missing: Vec<&'static str>,
    },
    /// A statement lets `CloudWatch` Logs use the key, for other targets only.
    ConditionMismatch {
        /// The statement, by its `Sid` or its place.
        statement: String,
        /// The condition that does not hold.
        condition: String,
    },
    /// A statement denies it.
    Denied {
        /// The statement, by its `Sid` or its place.
        statement: String,
    },
    /// It depends on something that cannot be known from here.
    Unclear {
        /// On what.
        reason: String,
    },
}

/// Why some text cannot be judged as a key policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnreadablePolicy {
    /// Longer than KMS allows.
    #[error("the policy is longer than a key policy can be")]
    TooLong,
    /// Not JSON.
    #[error("the policy is not JSON")]
    NotJson,
    /// Not in the form of a policy.
    #[error("the policy has an unknown form: {0}")]
    Form(String),
}

/// The service's name for itself in the Region of a place.
#[must_use]
pub fn service_principal(location: &Location) -> String {
    let suffix = match Partition::of(&location.region) {
        Partition::Aws | Partition::AwsUsGov => "amazonaws.com",
        Partition::AwsCn => "amazonaws.com.cn",
    };
    format!("logs.{}.{suffix}", location.region)
}

// === impl KeyPolicy ===

impl KeyPolicy {
    /// Reads a policy as `GetKeyPolicy` gives it.
    ///
    /// # Errors
    ///
    /// [`UnreadablePolicy`] where it cannot be judged at all.
    pub fn parse(text: &str) -> Result<Self, UnreadablePolicy> {
        Ok(Self { statements: document::read(text)? })
    }

    /// What it says about `CloudWatch` Logs using `key` for `resource`.
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

    /// Whether any statement with this effect applies, and the one that decides it.
    fn any(
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

    /// Whether a statement would do if its condition were another.
    fn missing_actions(
        &self,
        missing: Vec<&'static str>,
        service: PrincipalKind<'_>,
        key: &KmsKeyArn,
        facts: &Facts,
    ) -> PolicyEvaluation {
        let would_do = self.statements.iter().find(|statement| {
            let covers = |action: &&&str| statement.covers(service, action, key) == Ternary::Yes;
            statement.effect == Effect::Allow && missing.iter().any(|action| covers(&action))
        });
        let failing = would_do.and_then(|statement| {
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
