//! Evaluates conditions with the condition keys that a call of `CloudWatch` Logs to KMS is documented to
//! have.

use std::fmt;

use serde_json::Value;

use super::{
    element::{Effect, UnreadablePolicy, malformed, strings},
    glob::{arn_matches, glob_matches},
    principals::service_principal,
    ternary::Ternary,
};
use crate::domain::{
    association::{Location, Resource, Target},
    aws::RoleArn,
};

/// The condition key for the encryption context of log groups.
const ENCRYPTION_CONTEXT: &str = "kms:encryptioncontext:aws:logs:arn";
/// The condition keys for the source of query results.
const SOURCE_ARN: &str = "aws:sourcearn";
const SOURCE_ACCOUNT: &str = "aws:sourceaccount";

/// One condition: an operator, a condition key and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    operator: String,
    key: String,
    values: Vec<String>,
}

/// The known condition keys of a call, by lower-case name. Nothing is known about other keys.
pub(super) struct Facts(Vec<(&'static str, Fact)>);

/// What is known about one condition key.
enum Fact {
    /// The key has one of these values.
    OneOf(Vec<String>),
    /// The key is documented only for the other kind of target. An allow statement that requires it therefore
    /// does not apply to this target. A deny statement with it is indeterminate.
    OtherKind,
}

/// How an operator compares.
#[derive(Clone, Copy)]
enum Compare {
    Exact,
    IgnoreCase,
    Like,
    Arn,
}

// === impl Facts ===

impl Facts {
    /// The condition keys of a call that `CloudWatch` Logs makes for `resource`: the encryption context for
    /// log groups, the source for query results (user guide, "Encrypt log data" and "Encrypt query results").
    pub(super) fn for_service(resource: &Resource) -> Self {
        let arn = resource.arn().to_string();
        let mut facts = vec![("aws:principalisawsservice", Fact::OneOf(vec!["true".to_owned()]))];
        match &resource.target {
            Target::LogGroup(_) => {
                facts.push((ENCRYPTION_CONTEXT, Fact::OneOf(vec![arn])));
                facts.push((SOURCE_ARN, Fact::OtherKind));
                facts.push((SOURCE_ACCOUNT, Fact::OtherKind));
            }
            Target::QueryResults => {
                // The documented condition has a `*` in the position of a query's id.
                let with_id = format!("{}12345678-1234-1234-1234-123456789012", arn.trim_end_matches('*'));
                let account = resource.location.account.to_string();
                facts.push((ENCRYPTION_CONTEXT, Fact::OtherKind));
                facts.push((SOURCE_ARN, Fact::OneOf(vec![arn, with_id])));
                facts.push((SOURCE_ACCOUNT, Fact::OneOf(vec![account])));
            }
        }
        Self(facts)
    }

    /// The condition keys of a call to KMS that `CloudWatch` Logs makes on behalf of a role (IAM user guide,
    /// "Forward access sessions" and "AWS global condition context keys"). AWS does not document whether such
    /// a call has the encryption context.
    pub(super) fn of_role(role: &RoleArn, location: &Location) -> Self {
        let one = |value: String| Fact::OneOf(vec![value]);
        Self(vec![
            ("kms:viaservice", one(service_principal(location))),
            ("kms:calleraccount", one(role.account().to_string())),
            ("aws:principalaccount", one(role.account().to_string())),
            ("aws:principalarn", one(role.to_string())),
            ("aws:principalisawsservice", one("false".to_owned())),
            ("aws:principaltype", one("AssumedRole".to_owned())),
            ("aws:requestedregion", one(location.region.to_string())),
            ("aws:viaawsservice", one("true".to_owned())),
        ])
    }

    fn fact_for(&self, key: &str) -> Option<&Fact> {
        self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, fact)| fact)
    }
}

/// Parses the `Condition` of a statement.
pub(super) fn read(value: Option<&Value>) -> Result<Vec<Condition>, UnreadablePolicy> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let Value::Object(operators) = value else { return Err(malformed("a condition is not an object")) };
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let Value::Object(keys) = keys else {
            return Err(malformed("a condition operator is not an object"));
        };
        for (key, values) in keys {
            let (operator, key) = (operator.clone(), key.clone());
            conditions.push(Condition { operator, key, values: strings(values)? });
        }
    }
    Ok(conditions)
}

/// Whether all conditions hold.
pub(super) fn all_hold(conditions: &[Condition], effect: Effect, facts: &Facts) -> Ternary {
    conditions.iter().fold(Ternary::Yes, |so_far, condition| so_far.and(|| condition.holds(effect, facts)))
}

/// The first condition whose evaluation is `result`.
pub(super) fn first<'c>(
    conditions: &'c [Condition],
    effect: Effect,
    facts: &Facts,
    result: Ternary,
) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.holds(effect, facts) == result)
}

// === impl Condition ===

impl Condition {
    fn holds(&self, effect: Effect, facts: &Facts) -> Ternary {
        let possible = match facts.fact_for(&self.key) {
            Some(Fact::OneOf(possible)) => possible,
            Some(Fact::OtherKind) if effect == Effect::Allow && self.requires_value() => {
                return Ternary::No;
            }
            Some(Fact::OtherKind) | None => return Ternary::Unknown,
        };
        // A known key is present and has one value, so `IfExists`, `ForAnyValue` and `ForAllValues` do not
        // change the result.
        let operator = self.operator.as_str();
        let operator = operator.strip_prefix("ForAnyValue:").unwrap_or(operator);
        let operator = operator.strip_prefix("ForAllValues:").unwrap_or(operator);
        let operator = operator.strip_suffix("IfExists").unwrap_or(operator);
        let any = |compare| Ternary::consensus(possible.iter().map(|given| self.any_value(compare, given)));
        match operator {
            "StringEquals" => any(Compare::Exact),
            "StringNotEquals" => any(Compare::Exact).not(),
            "StringEqualsIgnoreCase" | "Bool" => any(Compare::IgnoreCase),
            "StringNotEqualsIgnoreCase" => any(Compare::IgnoreCase).not(),
            "StringLike" => any(Compare::Like),
            "StringNotLike" => any(Compare::Like).not(),
            "ArnEquals" | "ArnLike" => any(Compare::Arn),
            "ArnNotEquals" | "ArnNotLike" => any(Compare::Arn).not(),
            "Null" => Ternary::any(self.values.iter().map(|value| match value.as_str() {
                "false" => Ternary::Yes,
                "true" => Ternary::No,
                _ => Ternary::Unknown,
            })),
            _ => Ternary::Unknown,
        }
    }

    /// Whether the condition can hold only if the key has a value.
    fn requires_value(&self) -> bool {
        let optional = ["IfExists", "Not", "Null", "ForAllValues"];
        !optional.iter().any(|word| self.operator.contains(word))
    }

    fn any_value(&self, compare: Compare, given: &str) -> Ternary {
        Ternary::any(self.values.iter().map(|value| match compare {
            // Only AWS can resolve a policy variable.
            _ if value.contains("${") => Ternary::Unknown,
            Compare::Exact => (value == given).into(),
            Compare::IgnoreCase => value.eq_ignore_ascii_case(given).into(),
            Compare::Like => glob_matches(value, given).into(),
            Compare::Arn => arn_matches(value, given).map_or(Ternary::Unknown, Ternary::from),
        }))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operator, key, values } = self;
        write!(f, "{operator} {key} = {}", values.join(" or "))
    }
}
