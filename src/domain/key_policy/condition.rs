//! Evaluates the conditions of a statement with what is known about a call's condition keys.

use std::fmt;

use serde_json::Value;

use super::{
    condition_keys::{KeyValue, KmsCall},
    element::{Effect, UnreadablePolicy, malformed, strings},
    glob::{arn_matches, glob_matches},
    ternary::Ternary,
};

/// The IP ranges that hold every address.
const ALL_ADDRESSES: [&str; 2] = ["0.0.0.0/0", "::/0"];
/// The condition keys, in lower case, whose values say what a key is used for.
const TARGET_KEYS: [&str; 3] = ["kms:encryptioncontext:aws:logs:arn", "aws:sourcearn", "aws:sourceaccount"];

/// One condition: an operator, a condition key and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    operator: String,
    key: String,
    values: Vec<String>,
}

/// An operator such as `ForAllValues:StringNotLikeIfExists`
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>).
struct Operator {
    /// `None` if the name is unknown.
    comparison: Option<Comparison>,
    negated: bool,
    /// What the operator yields if the call does not have the key.
    if_absent: bool,
}

/// How an operator compares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Exact,
    IgnoreCase,
    Like,
    Arn,
    IpAddress,
    /// Numbers, dates and bytes. No key with a known value has one.
    Other,
    /// Whether the key is absent.
    Null,
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
pub(super) fn all_hold(conditions: &[Condition], effect: Effect, call: &KmsCall<'_>) -> Ternary {
    conditions.iter().fold(Ternary::Yes, |so_far, condition| so_far.and(|| condition.holds(effect, call)))
}

/// The first condition whose evaluation is `result`.
pub(super) fn first<'c>(
    conditions: &'c [Condition],
    effect: Effect,
    call: &KmsCall<'_>,
    result: Ternary,
) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.holds(effect, call) == result)
}

// === impl Condition ===

impl Condition {
    /// Whether the condition chooses the log groups or the account that the key is for.
    pub(super) fn chooses_target(&self) -> bool {
        TARGET_KEYS.iter().any(|key| key.eq_ignore_ascii_case(&self.key))
    }

    fn holds(&self, effect: Effect, call: &KmsCall<'_>) -> Ternary {
        let operator = Operator::read(&self.operator);
        match call.value(&self.key) {
            KeyValue::OneOf(possible) => Ternary::consensus(possible.iter().map(|given| match given {
                Some(given) => self.holds_for(&operator, given),
                None => self.holds_without(&operator),
            })),
            KeyValue::Undocumented if effect == Effect::Allow && operator.requires_value() => Ternary::No,
            KeyValue::Undocumented | KeyValue::Unknown => Ternary::Unknown,
        }
    }

    /// The evaluation for a call in which the key has this one value. With one value, `ForAnyValue` and
    /// `ForAllValues` change nothing.
    fn holds_for(&self, operator: &Operator, given: &str) -> Ternary {
        let Some(comparison) = operator.comparison else { return Ternary::Unknown };
        let matched = Ternary::any(self.values.iter().map(|value| match comparison {
            // Only AWS can resolve a policy variable.
            _ if value.contains("${") => Ternary::Unknown,
            Comparison::Exact => (value == given).into(),
            Comparison::IgnoreCase => value.eq_ignore_ascii_case(given).into(),
            Comparison::Like => glob_matches(value, given).into(),
            Comparison::Arn => arn_matches(value, given).map_or(Ternary::Unknown, Ternary::from),
            Comparison::IpAddress => ALL_ADDRESSES.contains(&value.as_str()).into(),
            Comparison::Other => Ternary::Unknown,
            Comparison::Null => is_false(value),
        }));
        if operator.negated { matched.not() } else { matched }
    }

    /// The evaluation for a call without the key.
    fn holds_without(&self, operator: &Operator) -> Ternary {
        match operator.comparison {
            None => Ternary::Unknown,
            Some(Comparison::Null) => Ternary::any(self.values.iter().map(|value| is_false(value).not())),
            Some(
                Comparison::Exact
                | Comparison::IgnoreCase
                | Comparison::Like
                | Comparison::Arn
                | Comparison::IpAddress
                | Comparison::Other,
            ) => operator.if_absent.into(),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operator, key, values } = self;
        write!(f, "{operator} {key} = {}", values.join(" or "))
    }
}

fn is_false(value: &str) -> Ternary {
    match value {
        "false" => Ternary::Yes,
        "true" => Ternary::No,
        _ => Ternary::Unknown,
    }
}

// === impl Operator ===

impl Operator {
    fn read(name: &str) -> Self {
        let (name, any) = strip(name, name.strip_prefix("ForAnyValue:"));
        let (name, all) = strip(name, name.strip_prefix("ForAllValues:"));
        let (name, if_exists) = strip(name, name.strip_suffix("IfExists"));
        let (comparison, negated) = match name {
            "StringEquals" => (Some(Comparison::Exact), false),
            "StringNotEquals" => (Some(Comparison::Exact), true),
            "StringEqualsIgnoreCase" | "Bool" => (Some(Comparison::IgnoreCase), false),
            "StringNotEqualsIgnoreCase" => (Some(Comparison::IgnoreCase), true),
            "StringLike" => (Some(Comparison::Like), false),
            "StringNotLike" => (Some(Comparison::Like), true),
            "ArnEquals" | "ArnLike" => (Some(Comparison::Arn), false),
            "ArnNotEquals" | "ArnNotLike" => (Some(Comparison::Arn), true),
            "IpAddress" => (Some(Comparison::IpAddress), false),
            "NotIpAddress" => (Some(Comparison::IpAddress), true),
            "NumericNotEquals" | "DateNotEquals" => (Some(Comparison::Other), true),
            "NumericEquals"
            | "NumericLessThan"
            | "NumericLessThanEquals"
            | "NumericGreaterThan"
            | "NumericGreaterThanEquals"
            | "DateEquals"
            | "DateLessThan"
            | "DateLessThanEquals"
            | "DateGreaterThan"
            | "DateGreaterThanEquals"
            | "BinaryEquals" => (Some(Comparison::Other), false),
            "Null" => (Some(Comparison::Null), false),
            _ => (None, false),
        };
        // `ForAllValues` holds for an absent key, and `ForAnyValue` does not, even if it is negated.
        Self { comparison, negated, if_absent: if_exists || all || (negated && !any) }
    }

    /// Whether the operator can hold only if the call has the key.
    fn requires_value(&self) -> bool {
        self.comparison.is_some_and(|comparison| comparison != Comparison::Null) && !self.if_absent
    }
}

fn strip<'a>(whole: &'a str, rest: Option<&'a str>) -> (&'a str, bool) {
    (rest.unwrap_or(whole), rest.is_some())
}
