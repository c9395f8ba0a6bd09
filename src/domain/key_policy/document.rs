//! The JSON of a policy.

use serde_json::{Map, Value};

use super::{
    UnreadablePolicy,
    condition::{self, Condition, Facts},
    glob::fits,
    principals::{PrincipalKind, Principals},
    ternary::Ternary,
};
use crate::domain::arn::KmsKeyArn;

/// Longest key policy read: KMS takes 32 KiB (`PutKeyPolicy` in the API reference).
const MAX_POLICY: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    name: String,
    pub(super) effect: Effect,
    principals: Principals,
    actions: ActionList,
    resources: ActionList,
    pub(super) conditions: Vec<Condition>,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ActionList {
    but: bool,
    patterns: Vec<String>,
}

pub(super) type Read<T> = Result<T, UnreadablePolicy>;

/// The statements of a policy.
pub(super) fn read(text: &str) -> Read<Vec<Statement>> {
    if text.len() > MAX_POLICY {
        return Err(UnreadablePolicy::TooLong);
    }
    let policy: Value = serde_json::from_str(text).map_err(|_invalid| UnreadablePolicy::NotJson)?;
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err(malformed("it has no Statement")),
    };
    statements.into_iter().enumerate().map(|(at, statement)| Statement::read(at + 1, statement)).collect()
}

// === impl Statement ===

impl Statement {
    fn read(number: usize, statement: &Value) -> Read<Self> {
        let Value::Object(fields) = statement else { return Err(malformed("a statement is no object")) };
        if let Some(unknown) = fields.keys().find(|key| !TRUSTED_KEYS.contains(&key.as_str())) {
            return Err(malformed(&format!("a statement has {unknown:?}")));
        }
        let effect = match fields.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err(malformed("a statement has no Effect")),
        };
        let name = match fields.get("Sid").and_then(Value::as_str) {
            Some(sid) if !sid.is_empty() => format!("statement {sid:?}"),
            _ => format!("statement {number}"),
        };
        Ok(Self {
            name,
            effect,
            principals: Principals::read(fields)?,
            actions: ActionList::read(fields, "Action", "NotAction")?,
            resources: ActionList::read(fields, "Resource", "NotResource")?,
            conditions: condition::read(fields.get("Condition"))?,
        })
    }

    /// What people call it.
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// Whether it is about this principal doing this with this key, its conditions aside.
    pub(super) fn covers(&self, principal: PrincipalKind<'_>, action: &str, key: &KmsKeyArn) -> Ternary {
        let action = || {
            Ternary::from(
                self.actions
                    .list_covers(|pattern| fits(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())),
            )
        };
        let resource = || Ternary::from(self.resources.list_covers(|pattern| fits(pattern, key.as_str())));
        self.principals.matches(principal, self.effect).and(action).and(resource)
    }

    /// Why it cannot be judged.
    pub(super) fn why_indeterminate(&self, facts: &Facts) -> String {
        match condition::first(&self.conditions, self.effect, facts, Ternary::Unknown) {
            Some(condition) => format!("{} depends on {condition}", self.name),
            None => format!("{} names its principals in a way that cannot be judged", self.name),
        }
    }
}

/// Everything a statement can hold (IAM user guide, "JSON policy elements").
const TRUSTED_KEYS: &[&str] = &[
    "Action",
    "Condition",
    "Effect",
    "NotAction",
    "NotPrincipal",
    "NotResource",
    "Principal",
    "Resource",
    "Sid",
];

// === impl Listed ===

impl ActionList {
    fn read(fields: &Map<String, Value>, these: &str, all_but: &str) -> Read<Self> {
        let (but, value) = exactly_one(fields, these, all_but)?;
        Ok(Self { but, patterns: strings(value)? })
    }

    fn list_covers(&self, fits: impl Fn(&String) -> bool) -> bool {
        self.patterns.iter().any(fits) != self.but
    }
}

/// The one of two elements that is there, and whether it is the second.
pub(super) fn exactly_one<'f>(
    fields: &'f Map<String, Value>,
    this: &str,
    not_this: &str,
) -> Read<(bool, &'f Value)> {
    match (fields.get(this), fields.get(not_this)) {
        (Some(value), None) => Ok((false, value)),
        (None, Some(value)) => Ok((true, value)),
        _ => Err(malformed(&format!("a statement needs one of {this} and {not_this}"))),
    }
}

/// One string or several.
pub(super) fn strings(value: &Value) -> Read<Vec<String>> {
    match value {
        Value::Array(values) => values.iter().map(scalar).collect(),
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Null | Value::Object(_) => {
            Ok(vec![scalar(value)?])
        }
    }
}

fn scalar(value: &Value) -> Read<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(malformed("a value is neither text nor a number"))
        }
    }
}

pub(super) fn malformed(what: &str) -> UnreadablePolicy {
    UnreadablePolicy::Form(what.to_owned())
}
