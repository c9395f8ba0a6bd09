//! The caller that a verified token proves, with its scopes and claims.

use std::{fmt, sync::Arc};

use super::{tenant::TenantId, time::Timestamp};

/// A caller whose token has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The tenant that the token belongs to.
    pub tenant: TenantId,
    /// The token's `sub`.
    pub subject: Arc<str>,
    /// The token's `iss`.
    pub issuer: Arc<str>,
    /// The token's scopes.
    pub scopes: Scopes,
    /// The other claims that policies may use.
    pub claims: PolicyClaims,
    /// The token's `jti`, or a hash of the token; never the token.
    pub token_id: Arc<str>,
    /// The token's `exp`.
    pub expires: Timestamp,
    /// The person for whom a program calls. `None` if the subject calls for itself.
    pub delegation: Option<Delegation>,
}

/// A program that calls for a person: the token has `act` (RFC 8693, section 4.1), or an issuer that may assert
/// users named the person in `x-on-behalf-of`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delegation {
    /// The person: the token's `sub`, or the value of `x-on-behalf-of`.
    pub on_behalf_of: Arc<str>,
    /// The program: `act.sub`, or the token's `sub` beside `x-on-behalf-of`.
    pub actor: Arc<str>,
}

/// The SHA-256 of a client certificate in DER, which the claim `x5t#S256` contains (RFC 8705, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CertificateThumbprint(pub [u8; 32]);

/// A group of actions that a token can allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Read associations, checks and key usage.
    Read,
    /// Set the key of a log group.
    Associate,
    /// Remove the key of a log group.
    Disassociate,
    /// Set or remove the key of an account's query results.
    QueryResults,
    /// Run bulk jobs.
    Bulk,
    /// Read the tenant's audit events.
    Audit,
    /// Act across tenants, for operators.
    Admin,
}

/// The claims that the configuration gives to policies, by their configured paths. Each claim has its values
/// as texts; a claim that is not a list has one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PolicyClaims(Arc<[ClaimTexts]>);

/// A claim's path with its texts.
type ClaimTexts = (Box<str>, Box<[Box<str>]>);

/// The scopes of a token, sorted and without duplicates. Unknown scopes are kept so that they can be
/// recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(Arc<[Box<str>]>);

/// The memory of an allocation of this size, with what the allocator adds.
fn allocated(bytes: usize) -> usize {
    bytes.next_multiple_of(16).max(16)
}

// === impl Principal ===

impl Principal {
    /// The approximate memory of the caller with everything that its token filled, in bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let texts = |texts: &[Box<str>]| -> usize {
            texts.iter().map(|text| size_of::<Box<str>>() + allocated(text.len())).sum()
        };
        let Scopes(scopes) = &self.scopes;
        let PolicyClaims(claims) = &self.claims;
        let claims: usize = (claims.iter())
            .map(|(path, values)| size_of::<ClaimTexts>() + allocated(path.len()) + texts(values))
            .sum();
        let own = allocated(self.subject.len()) + allocated(self.token_id.len());
        size_of::<Self>() + own + texts(scopes) + claims
    }

    /// Who answers for the call: the person for whom a program calls, or else the token's subject.
    #[must_use]
    pub fn responsible(&self) -> &Arc<str> {
        self.delegation.as_ref().map_or(&self.subject, |delegation| &delegation.on_behalf_of)
    }
}

// === impl Scope ===

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::Associate,
        Self::Disassociate,
        Self::QueryResults,
        Self::Bulk,
        Self::Audit,
        Self::Admin,
    ];

    /// Whether the scope lets a caller see or change what is not its own tenant's. Such a scope counts only in
    /// tokens of issuers that the operator trusts with it.
    #[must_use]
    pub fn reaches_beyond_tenant(self) -> bool {
        match self {
            Self::Admin => true,
            Self::Read
            | Self::Associate
            | Self::Disassociate
            | Self::QueryResults
            | Self::Bulk
            | Self::Audit => false,
        }
    }

    /// Whether a scope of this name reaches beyond the tenant. No unknown scope does.
    #[must_use]
    pub fn name_reaches_beyond_tenant(name: &str) -> bool {
        Self::ALL.into_iter().any(|scope| scope.as_str() == name && scope.reaches_beyond_tenant())
    }

    /// The name as tokens contain it.
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
    /// Whether the token has the scope.
    #[must_use]
    pub fn contains(&self, scope: Scope) -> bool {
        self.iter().any(|granted| granted == scope.as_str())
    }

    /// The scopes as texts, in ascending order.
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
    /// The claims as pairs of path and texts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Box<str>])> {
        self.0.iter().map(|(path, texts)| (&**path, &**texts))
    }
}

impl FromIterator<ClaimTexts> for PolicyClaims {
    fn from_iter<I: IntoIterator<Item = ClaimTexts>>(claims: I) -> Self {
        Self(claims.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_granted_only_by_its_exact_name() {
        let scopes: Scopes =
            ["logkey:associate", "logkey:read-only", "logkey:associate"].into_iter().collect();
        assert!(scopes.contains(Scope::Associate));
        assert!(!scopes.contains(Scope::Read));
        assert_eq!(scopes.iter().count(), 2);
    }
}
