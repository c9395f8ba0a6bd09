//! How far a key's policy lets a role use the key.

#[cfg(test)]
mod tests;

use super::{
    KeyPolicy,
    condition::Facts,
    document::{Effect, Statement},
    principals::Who,
    tri::Tri,
};
use crate::domain::{arn::KmsKeyArn, association::Place, aws::RoleArn};

/// What a key's policy says of a role and one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It names the role: in the key's own account no policy of the role has to allow it too.
    Named,
    /// It leaves it to the policies of the role's account.
    LeftToAccount,
    /// It does neither.
    LeftOut,
    /// A statement denies it.
    Denied {
        /// The statement, by its `Sid` or its place.
        statement: String,
    },
    /// It depends on something that cannot be known from here.
    Unclear {
        /// On what.
        why: String,
    },
}

// === impl KeyPolicy ===

impl KeyPolicy {
    /// What it says of `role` doing `action` with `key` through `CloudWatch` Logs in a place.
    #[must_use]
    pub fn standing(&self, key: &KmsKeyArn, role: &RoleArn, place: &Place, action: &str) -> Standing {
        let facts = Facts::of_role(role, place);
        let ask = |effect, who| self.any(effect, who, action, key, &facts);
        let unclear = |by: Option<&Statement>| Standing::Unclear {
            why: by.map_or_else(String::new, |statement| statement.doubt(&facts)),
        };
        match ask(Effect::Deny, Who::Role(role)) {
            (Tri::Yes, by) => {
                return Standing::Denied { statement: by.map_or_else(String::new, Statement::name) };
            }
            (Tri::Unknown, by) => return unclear(by),
            (Tri::No, _) => {}
        }
        let (named, account) =
            (ask(Effect::Allow, Who::Role(role)), ask(Effect::Allow, Who::AccountOf(role)));
        match (named, account) {
            ((Tri::Yes, _), _) => Standing::Named,
            ((Tri::No, _), (Tri::Yes, _)) => Standing::LeftToAccount,
            ((Tri::No, _), (Tri::No, _)) => Standing::LeftOut,
            ((Tri::Unknown, by), _) | ((Tri::No, _), (Tri::Unknown, by)) => unclear(by),
        }
    }
}
