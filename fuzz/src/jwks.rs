//! A key set of an issuer: each key is usable or told to be unusable, and none is lost.

use logkey::auth::KeySet;
use serde_json::Value;

/// Whether the input was taken.
pub fn run(data: &[u8]) -> bool {
    let Ok(set) = KeySet::decode(data) else { return false };
    let told: Value = serde_json::from_slice(data).unwrap();
    let keys = told["keys"].as_array().unwrap();
    assert_eq!(set.len() + set.unusable.len(), keys.len());
    assert!(set.unusable.iter().all(|key| key.position < keys.len() && !key.why.is_empty()));
    let shared = |key: &&Value| key["kty"] == "oct" || key["use"].as_str().is_some_and(|it| it != "sig");
    assert!(keys.iter().filter(shared).count() <= set.unusable.len());
    !set.is_empty()
}
