//! Where in a token's claims a value stands.

use std::{fmt, str::FromStr};

use serde_json::Value;
use thiserror::Error;

use super::strict_json::Members;

/// Deepest path taken.
const MAX_DEPTH: usize = 8;

/// The names from the outermost claim inward, written with dots between them: `realm.tenant`.
///
/// A name that itself holds a dot stands in double quotes: `"kubernetes.io".namespace`. A quoted name
/// holds anything but a double quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath {
    text: Box<str>,
    names: Vec<Box<str>>,
}

/// Why some text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidClaimPath {
    /// A name is empty, or there is none.
    #[error("holds an empty name: claim names with dots between them are expected")]
    EmptyName,
    /// A quoted name has no end, or something other than a dot follows it.
    #[error("holds a stray quote: a name that holds dots is written \"like.this\", whole")]
    Quote,
    /// Over [`MAX_DEPTH`] names.
    #[error("is deeper than {MAX_DEPTH} names")]
    TooDeep,
}

// === impl ClaimPath ===

impl ClaimPath {
    /// The names, from the outermost claim inward.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// The value there; none if there is none.
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
    fn a_path_goes_inward_and_quotes_keep_dots_in_a_name() {
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
    fn what_is_no_path_is_refused_with_the_reason() {
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
