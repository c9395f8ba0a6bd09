//! The caller, after a token has been verified.

use std::{fmt, sync::Arc};

use super::{tenant::TenantId, time::Timestamp};

/// A caller whose token was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The tenant that the token speaks for.
    pub tenant: TenantId,
    /// The token's `sub`.
    pub subject: Arc<str>,
    /// The token's `iss`.
    pub issuer: Arc<str>,
    /// What the token allows.
    pub scopes: Scopes,
    /// What policies may see of its other claims.
    pub claims: PolicyClaims,
    /// The token's `jti`, or a hash of the token; never the token.
    pub token_id: Arc<str>,
    /// The token's `exp`.
    pub expires: Timestamp,
}

/// The SHA-256 of a client certificate in DER, as `x5t#S256` has it (RFC 8705, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CertificateThumbprint(pub [u8; 32]);

/// One kind of act that a token can allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Reading associations, checks and key usage.
    Read,
    /// Setting the key of a log group.
    Associate,
    /// Taking the key of a log group away.
    Disassociate,
    /// Doing either to the account's query results.
    QueryResults,
    /// Bulk jobs.
    Bulk,
    /// The tenant's audit events.
    Audit,
    /// Across tenants, for operators.
    Admin,
}

/// The claims that the configuration lets policies see, by the paths it lists them under: each with its
/// texts, of which a claim that is no list has one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PolicyClaims(Arc<[Shown]>);

/// A claim's path, and its texts.
type Shown = (Box<str>, Box<[Box<str>]>);

/// The scopes of a token, sorted and without repetition; unknown ones are kept for the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(Arc<[Box<str>]>);

// === impl Scope ===

impl Scope {
    /// As it stands in a token.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "logkey:read",
            Self::Associate => "logkey:associate",
            Self::Disassociate => "logkey:disassociate",
            Self::QueryResults => "logkey:query-results",
            Self::Bulk => "logkey:bulk",
            Self::Audit => "logkey:audit",
            Self::Admin => "logkey:admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Scopes ===

impl Scopes {
    /// Whether the scope is among them.
    #[must_use]
    pub fn contains(&self, scope: Scope) -> bool {
        self.iter().any(|granted| granted == scope.as_str())
    }

    /// Each scope as text.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl<'t> FromIterator<&'t str> for Scopes {
    fn from_iter<I: IntoIterator<Item = &'t str>>(scopes: I) -> Self {
        let mut all: Vec<Box<str>> = scopes.into_iter().map(Into::into).collect();
        all.sort_unstable();
        all.dedup();
        Self(all.into())
    }
}

// === impl PolicyClaims ===

impl PolicyClaims {
    /// Each claim with its texts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Box<str>])> {
        self.0.iter().map(|(path, texts)| (&**path, &**texts))
    }
}

impl FromIterator<Shown> for PolicyClaims {
    fn from_iter<I: IntoIterator<Item = Shown>>(claims: I) -> Self {
        Self(claims.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_held_only_by_its_exact_name() {
        let scopes: Scopes =
            ["logkey:associate", "logkey:read-only", "logkey:associate"].into_iter().collect();
        assert!(scopes.contains(Scope::Associate));
        assert!(!scopes.contains(Scope::Read));
        assert_eq!(scopes.iter().count(), 2);
    }
}
