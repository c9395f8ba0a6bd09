//! The path of a value in a token's claims, as settings write it.

use std::{fmt, str::FromStr};

use serde_json::Value;
use thiserror::Error;

use super::strict_json::Members;

/// The largest number of names in a path.
const MAX_DEPTH: usize = 8;

/// Claim names from the outermost to the innermost, separated by dots: `realm.tenant`.
///
/// A name that contains a dot is in double quotes: `"kubernetes.io".namespace`. A quoted name may contain
/// any character except a double quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath {
    text: Box<str>,
    names: Vec<Box<str>>,
}

/// Why a text is not a claim path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidClaimPath {
    /// A name is empty, or the text is.
    #[error("contains an empty name; expected claim names separated by dots")]
    EmptyName,
    /// A quoted name has no end, or something other than a dot follows it.
    #[error("contains a misplaced quote: quote a whole name, as in \"kubernetes.io\".namespace")]
    Quote,
    /// More than [`MAX_DEPTH`] names.
    #[error("has more than {MAX_DEPTH} names")]
    TooDeep,
}

// === impl ClaimPath ===

impl ClaimPath {
    /// The names, from the outermost to the innermost.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// The value at this path; none if the token has no such claim.
    pub(super) fn find<'c>(&self, claims: &'c Members) -> Option<&'c Value> {
        let (first, inner) = self.names.split_first()?;
        inner.iter().try_fold(claims.get(&**first)?, |value, name| value.as_object()?.get(&**name))
    }
}

impl FromStr for ClaimPath {
    type Err = InvalidClaimPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut names: Vec<Box<str>> = Vec::new();
        let mut rest = Some(text);
        while let Some(here) = rest {
            let (name, after) = match here.strip_prefix('"') {
                Some(quoted) => {
                    let (name, after) = quoted.split_once('"').ok_or(InvalidClaimPath::Quote)?;
                    let after = match after.strip_prefix('.') {
                        Some(inner) => Some(inner),
                        None if after.is_empty() => None,
                        None => return Err(InvalidClaimPath::Quote),
                    };
                    (name, after)
                }
                None => match here.split_once('.') {
                    Some((name, inner)) => (name, Some(inner)),
                    None => (here, None),
                },
            };
            match name {
                "" => return Err(InvalidClaimPath::EmptyName),
                name if name.contains('"') => return Err(InvalidClaimPath::Quote),
                name => names.push(name.into()),
            }
            rest = after;
        }
        if names.len() > MAX_DEPTH {
            return Err(InvalidClaimPath::TooDeep);
        }
        Ok(Self { text: text.into(), names })
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_descends_into_claims_and_quotes_keep_dots_in_a_name() {
        let claims = super::super::strict_json::object(
            br#"{"tenant":"a","x":{"y":"b"},"kubernetes.io":{"namespace":"c"}}"#,
        )
        .unwrap();
        let at = |path: &str| {
            path.parse::<ClaimPath>().unwrap().find(&claims).and_then(Value::as_str).map(str::to_owned)
        };
        assert_eq!(at("tenant").as_deref(), Some("a"));
        assert_eq!(at("x.y").as_deref(), Some("b"));
        assert_eq!(at(r#""kubernetes.io".namespace"#).as_deref(), Some("c"));
        assert_eq!(at(r#""x"."y""#).as_deref(), Some("b"));
        assert_eq!(at("kubernetes.io.namespace"), None);
        assert_eq!(at("tenant.x"), None);
        assert_eq!(at("x"), None);
    }

    #[test]
    fn an_invalid_path_is_rejected_with_the_reason() {
        use InvalidClaimPath::{EmptyName, Quote, TooDeep};
        for (text, reason) in [
            ("", EmptyName),
            (".a", EmptyName),
            ("a.", EmptyName),
            ("a..b", EmptyName),
            (r#""""#, EmptyName),
            (r#""a"#, Quote),
            (r#""a"b"#, Quote),
            (r#"a"b"#, Quote),
            ("a.a.a.a.a.a.a.a.a", TooDeep),
        ] {
            assert_eq!(text.parse::<ClaimPath>(), Err(reason), "{text}");
        }
    }
}
