//! One claim of `--claim`.

use std::str::FromStr;

use serde_json::Value;

use crate::auth::ClaimPath;

/// One claim of `--claim`: the path of its name, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub(super) path: ClaimPath,
    pub(super) value: Value,
}

// === impl Claim ===

impl FromStr for Claim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || "expected NAME=JSON, such as groups='[\"a\"]' or name='\"text\"'".to_owned();
        let (name, value) = text.split_once('=').ok_or_else(expected)?;
        let path = name.parse().map_err(|reason| format!("the name {reason}"))?;
        let value = serde_json::from_str(value).map_err(|_no_json| expected())?;
        Ok(Self { path, value })
    }
}
