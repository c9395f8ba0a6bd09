//! How far a key's policy lets a role use the key.

#[cfg(test)]
mod tests;

use super::{
    KeyPolicy,
    condition::Facts,
    document::{Effect, Statement},
    principals::PrincipalKind,
    ternary::Ternary,
};
use crate::domain::{arn::KmsKeyArn, association::Location, aws::RoleArn};

/// What a key's policy says of a role and one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalAccess {
    /// It names the role: in the key's own account no policy of the role has to allow it too.
    Named,
    /// It leaves it to the policies of the role's account.
    Delegated,
    /// It does neither.
    NotMentioned,
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

// === impl KeyPolicy ===

impl KeyPolicy {
    /// What it says of `role` doing `action` with `key` through `CloudWatch` Logs in a place.
    #[must_use]
    pub fn principal_access(
        &self,
        key: &KmsKeyArn,
        role: &RoleArn,
        location: &Location,
        action: &str,
    ) -> PrincipalAccess {
        let facts = Facts::of_role(role, location);
        let any_match = |effect, principal| self.any(effect, principal, action, key, &facts);
        let unclear = |by: Option<&Statement>| PrincipalAccess::Unclear {
            reason: by.map_or_else(String::new, |statement| statement.why_indeterminate(&facts)),
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
