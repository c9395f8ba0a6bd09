//! Patterns for names in grants: `*` matches any characters, every other character matches itself.

use std::{fmt, str::FromStr};

use thiserror::Error;
use wildmatch::WildMatchPattern;

/// Maximum length of a pattern in bytes: the maximum length of the ARNs that it is matched with.
const MAX_PATTERN: usize = 2048;

/// A pattern in which `*` matches any characters, slashes included, and no other character is special. It
/// therefore has the same meaning here, in a Cedar `like` and in an IAM policy.
#[derive(Clone)]
pub struct Pattern(Box<str>);

/// The matcher, which is built for each use. It takes ten times the memory of the text, and a large
/// configuration has many patterns of which policy evaluation matches most itself. The second parameter is
/// the wildcard for one character; no name can contain this one.
type Compiled = WildMatchPattern<'*', '\u{0}'>;

/// Why a text is not a pattern. The message follows the name of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidPattern {
    /// The text is empty.
    #[error("is empty; use * to match everything")]
    Empty,
    /// The text has more than [`MAX_PATTERN`] bytes.
    #[error("is longer than {MAX_PATTERN} characters")]
    TooLong,
    /// The text contains a special character of another pattern language, or one that no name can have.
    #[error(
        "contains {0:?}; expected only '*', which matches any characters, and A-Z a-z 0-9 . - _ / # : + = , @"
    )]
    Character(char),
}

// === impl Pattern ===

impl Pattern {
    /// Whether the pattern matches the whole of `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        Compiled::new(&self.0).matches(name)
    }

    /// The part before the first `*`, with which every matching name begins.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Pattern {}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        if text.len() > MAX_PATTERN {
            return Err(InvalidPattern::TooLong);
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "*.-_/#:+=,@".contains(c);
        match text.chars().find(|c| !is_allowed(*c)) {
            Some(other) => Err(InvalidPattern::Character(other)),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reference implementation without regard to running time.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            ([a, pattern @ ..], [b, text @ ..]) => a == b && naive(pattern, text),
            ([], [_, ..]) | ([_, ..], []) => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_as_in_a_naive_implementation(pattern in "[ab/*]{1,8}", text in "[ab/]{0,10}") {
            let matches = pattern.parse::<Pattern>().unwrap().matches(&text);
            prop_assert_eq!(matches, naive(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn a_star_crosses_slashes_and_everything_else_is_literal() {
        let matches = |pattern: &str, name: &str| pattern.parse::<Pattern>().unwrap().matches(name);
        assert!(matches("/payments/*", "/payments/api/web"));
        assert!(matches("/payments/*", "/payments/"));
        assert!(matches("*", "anything"));
        assert!(matches("arn:aws:kms:*:111122223333:key/*", "arn:aws:kms:eu-west-1:111122223333:key/a"));
        assert!(!matches("/payments/*", "/payments"));
        assert!(!matches("/payments/*", "x/payments/api"));
        assert!(!matches("/a.b", "/axb"));
        assert!(!matches("/payments", "/payments/api"));
    }

    #[test]
    fn special_characters_of_other_pattern_languages_are_rejected() {
        for (text, c) in [("/a/?", '?'), ("/a/[bc]", '['), ("/a/{b,c}", '{'), ("a b", ' '), ("a\n", '\n')] {
            assert_eq!(text.parse::<Pattern>(), Err(InvalidPattern::Character(c)), "{text:?}");
        }
        assert_eq!("".parse::<Pattern>(), Err(InvalidPattern::Empty));
    }
}
