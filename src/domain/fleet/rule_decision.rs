//! Which rule decides about a resource, and how the resource stands.

use super::{coverage::CoverageClass, item::Failure, rule::EncryptionRule, rule_definition::Exemption};
use crate::domain::{
    arn::{KmsKeyArn, KmsKeyId},
    association::Target,
    time::Timestamp,
};

/// A rule in one location, with its key there.
#[derive(Clone, Debug)]
pub struct LocatedRule<'r> {
    /// The rule.
    pub rule: &'r EncryptionRule,
    /// The key that the rule requires in the location.
    pub key: RequiredKey,
}

/// The key that a rule requires in one location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequiredKey {
    /// The key exists.
    Resolved {
        /// The key.
        arn: KmsKeyArn,
        /// Why the key cannot be used, if it is disabled, scheduled for deletion or deleted.
        unhealthy: Option<Failure>,
    },
    /// The key could not be found out.
    Unresolved {
        /// The key as the rule names it. `None` if the rule has none for the location.
        requested: Option<KmsKeyId>,
        /// Why.
        failure: Failure,
    },
}

/// A resource as an evaluation found it.
#[derive(Clone, Copy, Debug)]
pub struct ObservedResource<'o> {
    /// The log group, or the query results.
    pub target: &'o Target,
    /// The key that is set. `None` is the AWS-owned default, or a key that is not known.
    pub key: Option<&'o KmsKeyArn>,
    /// Whether the key is known.
    pub is_key_known: bool,
}

/// The rule that decides about a resource.
#[derive(Clone, Debug)]
pub enum Decision<'d, 'r> {
    /// No rule selects the resource.
    NoRule,
    /// This rule decides.
    Rule(&'d LocatedRule<'r>),
    /// These enforcing rules have the same priority and require different keys. They are sorted by id.
    Conflict(Vec<&'d LocatedRule<'r>>),
}

/// The rules of these that select the target.
#[must_use]
pub fn selecting<'d, 'r>(rules: &'d [LocatedRule<'r>], target: &Target) -> Vec<&'d LocatedRule<'r>> {
    rules.iter().filter(|located| located.rule.definition.selects(target)).collect()
}

/// The rule of these that decides about the target. Among enforcing rules it is the one with the lowest
/// number. Without an enforcing rule, the resource counts by the reporting rule with the lowest number.
#[must_use]
pub fn deciding<'d, 'r>(
    selecting: &[&'d LocatedRule<'r>],
    target: &Target,
    now: Timestamp,
) -> Decision<'d, 'r> {
    let by_mode = |enforces| selecting.iter().copied().filter(move |it| it.rule.enforces() == enforces);
    let order = |it: &&LocatedRule<'_>| (it.rule.definition.priority, it.rule.id.clone());
    let Some(first) = by_mode(true).min_by_key(order) else {
        return by_mode(false).min_by_key(order).map_or(Decision::NoRule, Decision::Rule);
    };
    let priority = first.rule.definition.priority;
    let mut equal: Vec<_> = by_mode(true).filter(|it| it.rule.definition.priority == priority).collect();
    equal.sort_unstable_by(|one, other| one.rule.id.cmp(&other.rule.id));
    // A rule that exempts the target requires no key for it, and nothing may be changed.
    if let Some(exempting) = equal.iter().find(|it| it.rule.definition.exemption(target, now).is_some()) {
        return Decision::Rule(exempting);
    }
    if equal.iter().all(|it| it.key.is_same_key(&first.key)) {
        Decision::Rule(first)
    } else {
        Decision::Conflict(equal)
    }
}

/// How a resource stands by this rule alone, which selects it.
#[must_use]
pub fn classify(rule: &LocatedRule<'_>, resource: ObservedResource<'_>, now: Timestamp) -> CoverageClass {
    if exemption(rule, resource.target, now).is_some() {
        return CoverageClass::Exempt;
    }
    let RequiredKey::Resolved { arn, unhealthy } = &rule.key else { return CoverageClass::Unknown };
    match resource.key {
        _ if !resource.is_key_known => CoverageClass::Unknown,
        Some(key) if key == arn && unhealthy.is_some() => CoverageClass::KeyUnhealthy,
        Some(key) if key == arn => CoverageClass::Compliant,
        Some(_) => CoverageClass::OtherKey,
        None => CoverageClass::NoKey,
    }
}

/// The exemption of this rule that applies to the target now.
#[must_use]
pub fn exemption<'r>(rule: &LocatedRule<'r>, target: &Target, now: Timestamp) -> Option<&'r Exemption> {
    rule.rule.definition.exemption(target, now)
}

// === impl RequiredKey ===

impl RequiredKey {
    /// The key, if it could be resolved.
    #[must_use]
    pub fn arn(&self) -> Option<&KmsKeyArn> {
        match self {
            Self::Resolved { arn, .. } => Some(arn),
            Self::Unresolved { .. } => None,
        }
    }

    /// Why the key cannot be set.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Resolved { unhealthy, .. } => unhealthy.as_ref(),
            Self::Unresolved { failure, .. } => Some(failure),
        }
    }

    /// Whether both are certainly the same key.
    fn is_same_key(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Resolved { arn: one, .. }, Self::Resolved { arn: other, .. }) => one == other,
            (Self::Unresolved { requested: one, .. }, Self::Unresolved { requested: other, .. }) => {
                one == other
            }
            (Self::Resolved { .. }, Self::Unresolved { .. })
            | (Self::Unresolved { .. }, Self::Resolved { .. }) => false,
        }
    }
}

#[cfg(test)]
mod tests;
