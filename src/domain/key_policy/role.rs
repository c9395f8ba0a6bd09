//! Evaluates whether a key's policy lets a role use the key, or delegates that to the role's account.

#[cfg(test)]
mod tests;

use super::{
    condition_keys::{Caller, KmsCall},
    document::Statement,
    element::Effect,
    evaluate::{KeyPolicy, REQUIRED_ACTIONS},
    principals::PrincipalKind,
    ternary::Ternary,
};
use crate::domain::{arn::KmsKeyArn, association::Resource, aws::RoleArn};

/// Whether a key's policy lets a role perform one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalAccess {
    /// The key policy allows it to the role. In the key's account the role's own policies need not allow it.
    Named,
    /// The key policy delegates the decision to the policies of the role's account.
    Delegated,
    /// The key policy neither allows the action to the role nor delegates it to the role's account.
    NotMentioned,
    /// A statement denies the action.
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
    /// Whether the policy lets `role` perform `action` with `key` through `CloudWatch` Logs for a resource.
    #[must_use]
    pub fn principal_access(
        &self,
        key: &KmsKeyArn,
        role: &RoleArn,
        resource: &Resource,
        action: &'static str,
    ) -> PrincipalAccess {
        let call = KmsCall { caller: Caller::Role(role), resource, key, action };
        let any_match = |effect, principal| self.any(effect, principal, &call);
        let unclear = |by: Option<&Statement>| PrincipalAccess::Unclear {
            reason: by.map_or_else(String::new, |statement| statement.why_indeterminate(&call)),
        };
        match any_match(Effect::Deny, PrincipalKind::Role(role)) {
            (Ternary::Yes, by) => {
                return PrincipalAccess::Denied { statement: by.map_or_else(String::new, Statement::name) };
            }
            (Ternary::Unknown, by) => return unclear(by),
            (Ternary::No, _) => {}
        }
        let (named, account) = (
            any_match(Effect::Allow, PrincipalKind::Role(role)),
            any_match(Effect::Allow, PrincipalKind::AccountOf(role)),
        );
        match (named, account) {
            ((Ternary::Yes, _), _) => PrincipalAccess::Named,
            ((Ternary::No, _), (Ternary::Yes, _)) => PrincipalAccess::Delegated,
            ((Ternary::No, _), (Ternary::No, _)) => PrincipalAccess::NotMentioned,
            ((Ternary::Unknown, by), _) | ((Ternary::No, _), (Ternary::Unknown, by)) => unclear(by),
        }
    }
}

/// Whether the calls that `CloudWatch` Logs makes on behalf of `role` are known not to have a condition key.
#[must_use]
pub fn role_call_lacks(key: &KmsKeyArn, role: &RoleArn, resource: &Resource, name: &str) -> bool {
    let each = REQUIRED_ACTIONS.map(|action| KmsCall { caller: Caller::Role(role), resource, key, action });
    each.iter().all(|call| call.value(name).is_absent())
}
