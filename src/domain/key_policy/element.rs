//! The elements of a policy's JSON that statements, principals and conditions are read from.

use serde_json::{Map, Value};
use thiserror::Error;

/// Why a text cannot be evaluated as a key policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnreadablePolicy {
    /// The text is longer than KMS allows.
    #[error("the policy is longer than KMS allows")]
    TooLong,
    /// The text is not JSON.
    #[error("the policy is not JSON")]
    NotJson,
    /// The JSON does not have the form of a policy.
    #[error("the policy is malformed: {0}")]
    Form(String),
}

pub(super) type Read<T> = Result<T, UnreadablePolicy>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// The value of `element` or `negation`, and whether it is the negation. Exactly one of them has to be
/// present.
pub(super) fn exactly_one<'f>(
    fields: &'f Map<String, Value>,
    element: &str,
    negation: &str,
) -> Read<(bool, &'f Value)> {
    match (fields.get(element), fields.get(negation)) {
        (Some(value), None) => Ok((false, value)),
        (None, Some(value)) => Ok((true, value)),
        _ => Err(malformed(&format!("a statement needs exactly one of {element} and {negation}"))),
    }
}

/// The values of an element that holds one value or an array.
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
            Err(malformed("a value is not a string, a number or a boolean"))
        }
    }
}

pub(super) fn malformed(what: &str) -> UnreadablePolicy {
    UnreadablePolicy::Form(what.to_owned())
}
