//! A key policy: a statement that denies everything always wins, whatever the other statements say.

use logkey::domain::{
    association::{Location, Resource, Target},
    key_policy::{KeyPolicy, PolicyEvaluation},
};
use serde_json::{Value, json};

/// Returns whether the input was accepted.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(policy) = KeyPolicy::parse(text) else { return false };
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".parse().unwrap();
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let mut allows = false;
    for target in [Target::LogGroup("/payments/api".parse().unwrap()), Target::QueryResults] {
        let resource = Resource { location: location.clone(), target };
        allows |= policy.evaluate(&key, &resource) == PolicyEvaluation::Allows;
        let Ok(mut document) = serde_json::from_str::<Value>(text) else { return false };
        let deny = json!({"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*"});
        let mut statements = match document["Statement"].take() {
            Value::Array(all) => all,
            one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                vec![one]
            }
        };
        statements.push(deny);
        document["Statement"] = statements.into();
        let Ok(denied) = KeyPolicy::parse(&document.to_string()) else { return false };
        let evaluation = denied.evaluate(&key, &resource);
        assert!(matches!(evaluation, PolicyEvaluation::Denied { .. }), "{evaluation:?}");
    }
    allows
}
