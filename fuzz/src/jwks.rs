//! A key set of an issuer: each key is usable or told to be unusable, and none is lost.

use std::collections::HashMap;

use logkey::auth::KeySet;
use serde_json::{Value, value::RawValue};

/// Whether the input was taken.
pub fn run(data: &[u8]) -> bool {
    let Ok(set) = KeySet::decode(data) else { return false };
    let told: HashMap<String, Box<RawValue>> = serde_json::from_slice(data).unwrap();
    let keys: Vec<Box<RawValue>> = serde_json::from_str(told["keys"].get()).unwrap();
    // JSON has numbers that no value of ours holds.
    let keys: Vec<Option<Value>> = keys.iter().map(|key| serde_json::from_str(key.get()).ok()).collect();
    assert_eq!(set.len() + set.unusable.len(), keys.len());
    assert!(set.unusable.iter().all(|key| key.position < keys.len() && !key.reason.is_empty()));
    let shared = |key: &&Value| key["kty"] == "oct" || key["use"].as_str().is_some_and(|it| it != "sig");
    assert!(keys.iter().flatten().filter(shared).count() <= set.unusable.len());
    !set.is_empty()
}
