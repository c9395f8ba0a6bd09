//! A key set of an issuer: each key is usable, repeats another one, or is reported as unusable.

use std::collections::HashMap;

use logkey::auth::KeySet;
use serde_json::{Value, value::RawValue};

/// Returns whether the input was accepted.
pub fn run(data: &[u8]) -> bool {
    let Ok(set) = KeySet::decode(data) else { return false };
    let document: HashMap<String, Box<RawValue>> = serde_json::from_slice(data).unwrap();
    let keys: Vec<Box<RawValue>> = serde_json::from_str(document["keys"].get()).unwrap();
    // JSON allows numbers that `Value` cannot hold.
    let keys: Vec<Option<Value>> = keys.iter().map(|key| serde_json::from_str(key.get()).ok()).collect();
    assert_eq!(set.len() + set.repeated + set.unusable.len(), keys.len());
    assert!(set.unusable.iter().all(|key| key.position < keys.len() && !key.reason.is_empty()));
    let not_for_signatures =
        |key: &&Value| key["kty"] == "oct" || key["use"].as_str().is_some_and(|it| it != "sig");
    assert!(keys.iter().flatten().filter(not_for_signatures).count() <= set.unusable.len());
    !set.is_empty()
}
