//! Reads the claims that policies may use: those in the issuer's `policy_claims`, as strings.
//!
//! A claim with another type or a larger size makes the token invalid. If the service omitted it, a policy
//! that forbids by this claim would not apply.

use serde_json::Value;

use super::{claim_path::ClaimPath, strict_json::Members, token_error::TokenError};
use crate::domain::principal::PolicyClaims;

/// The largest number of values of one claim.
const MAX_TEXTS: usize = 64;
/// The longest value of a claim, in bytes.
const MAX_TEXT: usize = 256;

/// The claims at these paths that the token has.
pub(super) fn read(claims: &Members, paths: &[ClaimPath]) -> Result<PolicyClaims, TokenError> {
    let found = paths.iter().filter_map(|path| Some((path, path.find(claims)?)));
    let read = found.map(|(path, value)| {
        Ok((path.to_string().into(), texts(value).ok_or(TokenError::PolicyClaimMalformed)?))
    });
    read.collect()
}

/// The values of a string, number or boolean, or of a list of them.
fn texts(value: &Value) -> Option<Box<[Box<str>]>> {
    match value {
        Value::Array(list) if list.len() <= MAX_TEXTS => list.iter().map(text).collect(),
        Value::Array(_) => None,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Some([text(value)?].into())
        }
    }
}

fn text(value: &Value) -> Option<Box<str>> {
    match value {
        Value::String(text) => (text.len() <= MAX_TEXT).then(|| text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(truth) => Some(truth.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim_strings(json: &str, path: &str) -> Result<Vec<String>, TokenError> {
        let claims = super::super::strict_json::object(json.as_bytes()).unwrap();
        let read = read(&claims, &[path.parse().unwrap()])?;
        let one: Vec<_> = read.iter().flat_map(|(_, texts)| texts.iter().map(ToString::to_string)).collect();
        Ok(one)
    }

    #[test]
    fn a_claim_becomes_a_list_of_strings() {
        for (json, path, texts) in [
            (r#"{"a":"x"}"#, "a", vec!["x"]),
            (r#"{"a":["x","y"]}"#, "a", vec!["x", "y"]),
            (r#"{"a":{"b":7}}"#, "a.b", vec!["7"]),
            (r#"{"a":true}"#, "a", vec!["true"]),
            (r#"{"a":[]}"#, "a", vec![]),
            (r#"{"a":"x"}"#, "b", vec![]),
        ] {
            assert_eq!(claim_strings(json, path).unwrap(), texts, "{json}");
        }
    }

    #[test]
    fn a_claim_that_cannot_be_read_in_full_makes_the_token_invalid() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_TEXT + 1));
        let many = format!(r#"{{"a":[{}]}}"#, vec!["1"; MAX_TEXTS + 1].join(","));
        for json in
            [r#"{"a":null}"#, r#"{"a":{"b":1}}"#, r#"{"a":["x",null]}"#, r#"{"a":[["x"]]}"#, &long, &many]
        {
            assert_eq!(claim_strings(json, "a"), Err(TokenError::PolicyClaimMalformed), "{json}");
        }
    }
}
