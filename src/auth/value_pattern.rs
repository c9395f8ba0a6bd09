//! A pattern that extracts the tenant from a longer text, such as a SPIFFE id.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The placeholder of the tenant.
const TENANT: &str = "{tenant}";

/// A text that contains `{tenant}` once and may end in `*`. `{tenant}` matches one or more of
/// `A-Z a-z 0-9 . _ -`, and `*` matches anything. Examples: `spiffe://prod.example.org/tenant/{tenant}/*`,
/// `system:serviceaccount:{tenant}:*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuePattern {
    text: Box<str>,
    before: Box<str>,
    after: Box<str>,
    open: bool,
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidValuePattern {
    /// `{tenant}` does not occur exactly once.
    #[error("must contain {TENANT} exactly once")]
    Tenant,
    /// A `*` occurs before the end, where a caller could make it match too much.
    #[error("must contain '*' only at the end")]
    Star,
    /// The character after `{tenant}` could be part of the tenant.
    #[error("must have nothing after {TENANT}, or a character that is not one of A-Z a-z 0-9 . _ -")]
    NoEnd,
}

// === impl ValuePattern ===

impl ValuePattern {
    /// The part of the value that names the tenant; none if the value does not match.
    pub(super) fn extract<'v>(&self, value: &'v str) -> Option<&'v str> {
        let rest = value.strip_prefix(&*self.before)?;
        let (tenant, rest) = match rest.find(|c| !is_tenant_char(c)) {
            Some(end) => rest.split_at_checked(end)?,
            None => (rest, ""),
        };
        let matches = if self.open { rest.starts_with(&*self.after) } else { rest == &*self.after };
        (matches && !tenant.is_empty()).then_some(tenant)
    }
}

impl FromStr for ValuePattern {
    type Err = InvalidValuePattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (before, rest) = text.split_once(TENANT).ok_or(InvalidValuePattern::Tenant)?;
        let (after, open) = rest.strip_suffix('*').map_or((rest, false), |after| (after, true));
        if after.contains(TENANT) {
            return Err(InvalidValuePattern::Tenant);
        }
        if before.contains('*') || after.contains('*') {
            return Err(InvalidValuePattern::Star);
        }
        if after.starts_with(is_tenant_char) {
            return Err(InvalidValuePattern::NoEnd);
        }
        Ok(Self { text: text.into(), before: before.into(), after: after.into(), open })
    }
}

impl fmt::Display for ValuePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_tenant_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_one_segment_and_the_rest_must_match() {
        let spiffe: ValuePattern = "spiffe://prod.example.org/tenant/{tenant}/*".parse().unwrap();
        assert_eq!(spiffe.extract("spiffe://prod.example.org/tenant/payments/api"), Some("payments"));
        for other in [
            "spiffe://prod.example.org/tenant/payments",
            "spiffe://prod.example.org/tenant//api",
            "spiffe://prod.example.org.evil.test/tenant/payments/api",
            "spiffe://evil.test/spiffe://prod.example.org/tenant/payments/api",
            "spiffe://prod.example.org/tenant/pay%2fments/api",
            "",
        ] {
            assert_eq!(spiffe.extract(other), None, "{other}");
        }
        let account: ValuePattern = "system:serviceaccount:{tenant}:logkey".parse().unwrap();
        assert_eq!(account.extract("system:serviceaccount:payments:logkey"), Some("payments"));
        assert_eq!(account.extract("system:serviceaccount:payments:logkey2"), None);
        assert_eq!("{tenant}".parse::<ValuePattern>().unwrap().extract("a-b"), Some("a-b"));
    }

    #[test]
    fn ambiguous_patterns_are_rejected() {
        use InvalidValuePattern::{NoEnd, Star, Tenant};
        for (text, reason) in [
            ("spiffe://x/", Tenant),
            ("{tenant}/{tenant}", Tenant),
            ("*/{tenant}", Star),
            ("a/{tenant}/*/b", Star),
            ("{tenant}-svc", NoEnd),
        ] {
            assert_eq!(text.parse::<ValuePattern>(), Err(reason), "{text}");
        }
    }
}
