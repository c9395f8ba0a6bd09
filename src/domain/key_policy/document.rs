//! Parses the JSON of a key policy into statements. A statement with an unknown element is rejected.

use serde_json::{Map, Value};

use super::{
    condition::{self, Condition},
    condition_keys::KmsCall,
    element::{Effect, Read, UnreadablePolicy, exactly_one, malformed, strings},
    glob::glob_matches,
    principals::{PrincipalKind, Principals},
    ternary::Ternary,
};

/// Maximum length of a key policy in bytes. KMS accepts 32 KiB (`PutKeyPolicy` in the API reference).
const MAX_POLICY: usize = 64 * 1024;

/// One statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    name: String,
    pub(super) effect: Effect,
    principals: Principals,
    actions: ActionList,
    resources: ActionList,
    pub(super) conditions: Vec<Condition>,
}

/// The patterns of `Action` or `Resource`, or those of `NotAction` or `NotResource` if `negated`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ActionList {
    negated: bool,
    patterns: Vec<String>,
}

/// Parses the statements of a policy.
pub(super) fn read(text: &str) -> Read<Vec<Statement>> {
    if text.len() > MAX_POLICY {
        return Err(UnreadablePolicy::TooLong);
    }
    let policy: Value = serde_json::from_str(text).map_err(|_invalid| UnreadablePolicy::NotJson)?;
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err(malformed("there is no Statement")),
    };
    statements.into_iter().enumerate().map(|(at, statement)| Statement::read(at + 1, statement)).collect()
}

// === impl Statement ===

impl Statement {
    fn read(number: usize, statement: &Value) -> Read<Self> {
        let Value::Object(fields) = statement else { return Err(malformed("a statement is not an object")) };
        if let Some(unknown) = fields.keys().find(|key| !STATEMENT_ELEMENTS.contains(&key.as_str())) {
            return Err(malformed(&format!("a statement has the unknown element {unknown:?}")));
        }
        let effect = match fields.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err(malformed("a statement has no Effect of Allow or Deny")),
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

    /// The statement's `Sid`, or its number, for messages.
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// Whether the statement covers the principal, action and key of this call, without regard to its
    /// conditions.
    pub(super) fn covers(&self, principal: PrincipalKind<'_>, call: &KmsCall<'_>) -> Ternary {
        let action = call.action.to_ascii_lowercase();
        let action = || {
            let covered = |pattern: &String| glob_matches(&pattern.to_ascii_lowercase(), &action);
            Ternary::from(self.actions.covers(covered))
        };
        let resource =
            || Ternary::from(self.resources.covers(|pattern| glob_matches(pattern, call.key.as_str())));
        self.principals.matches(principal, self.effect).and(action).and(resource)
    }

    /// Whether the statement applies to the call of this principal.
    pub(super) fn applies(&self, principal: PrincipalKind<'_>, call: &KmsCall<'_>) -> Ternary {
        self.covers(principal, call).and(|| condition::all_hold(&self.conditions, self.effect, call))
    }

    /// Whether the statement names a service, and not everyone.
    pub(super) fn names_a_service(&self) -> bool {
        self.principals.name_a_service()
    }

    /// Why the statement's result is unknown, for people.
    pub(super) fn why_indeterminate(&self, call: &KmsCall<'_>) -> String {
        match condition::first(&self.conditions, self.effect, call, Ternary::Unknown) {
            Some(condition) => format!("{} depends on {condition}", self.name),
            None => format!("{} names its principals in a form that cannot be evaluated", self.name),
        }
    }
}

/// Every element that a statement can have (IAM user guide, "JSON policy elements").
const STATEMENT_ELEMENTS: &[&str] = &[
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

// === impl ActionList ===

impl ActionList {
    fn read(fields: &Map<String, Value>, element: &str, negation: &str) -> Read<Self> {
        let (negated, value) = exactly_one(fields, element, negation)?;
        Ok(Self { negated, patterns: strings(value)? })
    }

    fn covers(&self, matches: impl Fn(&String) -> bool) -> bool {
        self.patterns.iter().any(matches) != self.negated
    }
}
