//! How a tenant is named inside a longer text, such as a SPIFFE id.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// What stands for the tenant.
const TENANT: &str = "{tenant}";

/// A text with `{tenant}` in it once, which stands for one or more of `A-Z a-z 0-9 . _ -`, and at most
/// one `*`, at the very end, which stands for anything:
/// `spiffe://prod.example.org/tenant/{tenant}/*`, `system:serviceaccount:{tenant}:*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuePattern {
    text: Box<str>,
    before: Box<str>,
    after: Box<str>,
    open: bool,
}

/// Why some text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidValuePattern {
    /// `{tenant}` does not stand in it exactly once.
    #[error("must hold {TENANT} exactly once")]
    Tenant,
    /// A `*` stands elsewhere than at the end.
    #[error("holds a '*' elsewhere than at the end, where it could be made to match what it should not")]
    Star,
    /// What follows `{tenant}` could be taken for a part of it.
    #[error("must follow {TENANT} with something other than A-Z a-z 0-9 . _ -, or nothing")]
    NoEnd,
}

// === impl ValuePattern ===

impl ValuePattern {
    /// The tenant's part of the value; none if the value does not fit.
    pub(super) fn extract<'v>(&self, value: &'v str) -> Option<&'v str> {
        let rest = value.strip_prefix(&*self.before)?;
        let (tenant, rest) = match rest.find(|c| !is_valid_name(c)) {
            Some(end) => rest.split_at_checked(end)?,
            None => (rest, ""),
        };
        let fits = if self.open { rest.starts_with(&*self.after) } else { rest == &*self.after };
        (fits && !tenant.is_empty()).then_some(tenant)
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
        if after.starts_with(is_valid_name) {
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

fn is_valid_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_one_segment_and_the_rest_must_fit() {
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
    fn patterns_that_could_be_fooled_are_refused() {
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
