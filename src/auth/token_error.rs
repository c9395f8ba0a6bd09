//! What can be wrong with a token. The caller never hears which; the audit log does.

use std::fmt;

/// One thing that is wrong with a token, in words that hold nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenError {
    /// Longer than the limit; not looked at further.
    TooLong,
    /// Not three parts of base64url.
    NotCompact,
    /// Five parts: an encrypted token.
    Encrypted,
    /// The header is no JSON object with distinct members.
    HeaderMalformed,
    /// The header names extensions that must be understood (`crit`), or none.
    Critical,
    /// The header brings a key or tells where to fetch one.
    HeaderCarriesKey,
    /// The header asks for compression, encryption, nesting or an unencoded payload.
    HeaderOption,
    /// `alg` is none that this service knows.
    AlgorithmUnknown,
    /// `alg` is none that the issuer may use.
    AlgorithmNotAllowed,
    /// `typ` is that of another kind of token.
    WrongType,
    /// `typ` is not `at+jwt` although the issuer has to set it.
    NotAnAccessToken,
    /// The payload is no JSON object with distinct members.
    ClaimsMalformed,
    /// `iss` is missing or no text.
    IssuerMissing,
    /// `iss` is no issuer of this service.
    IssuerUnknown,
    /// No key of the issuer's has this id and algorithm.
    KeyUnknown,
    /// There is no key id, and not just one key that fits.
    KeyAmbiguous,
    /// The signature does not fit.
    BadSignature,
    /// `aud` is missing or not a text or a list of texts.
    AudienceMissing,
    /// `aud` does not name this service.
    AudienceOther,
    /// `aud` names others beside this service although the issuer must not.
    AudienceShared,
    /// `sub` is missing, no text, empty, too long or not printable.
    SubjectMissing,
    /// `exp` is missing or no time.
    ExpiryMissing,
    /// `exp` has passed.
    Expired,
    /// `nbf` is missing, or no time.
    NotBeforeMissing,
    /// `nbf` has not come yet.
    NotYetValid,
    /// `iat` is missing where it is needed, or no time.
    IssuedAtMissing,
    /// `iat` lies in the future.
    IssuedInFuture,
    /// The token lives longer than the issuer may let it.
    LivesTooLong,
    /// `jti` is no text.
    IdMalformed,
    /// It is an identity or logout token, by claims that only such a token has.
    IdentityToken,
    /// The scope claim is neither a text nor a list of texts.
    ScopesMalformed,
    /// A claim that policies see is no text, number or truth value, no list of them, or too large.
    PolicyClaimMalformed,
    /// The tenant claim is missing or no text, or does not fit its pattern.
    TenantClaimMissing,
    /// No tenant has this value of the tenant claim and names this issuer.
    TenantUnknown,
    /// `cnf` is malformed, or binds the token in a way that cannot be checked here.
    BindingUnsupported,
    /// The issuer has to bind its tokens to a certificate, and this one is not.
    BindingMissing,
    /// The token is bound to a certificate that the caller did not show.
    BindingMismatch,
}

// === impl Flaw ===

impl TokenError {
    /// In a few words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too long",
            Self::NotCompact => "not a compact signed token",
            Self::Encrypted => "encrypted",
            Self::HeaderMalformed => "header malformed",
            Self::Critical => "header has crit",
            Self::HeaderCarriesKey => "header brings its own key",
            Self::HeaderOption => "header asks for compression, encryption, nesting or an unencoded payload",
            Self::AlgorithmUnknown => "algorithm unknown",
            Self::AlgorithmNotAllowed => "algorithm not allowed for the issuer",
            Self::WrongType => "typ is not that of an access token",
            Self::NotAnAccessToken => "typ is not at+jwt",
            Self::ClaimsMalformed => "claims malformed",
            Self::IssuerMissing => "iss missing or not a text",
            Self::IssuerUnknown => "issuer unknown",
            Self::KeyUnknown => "key unknown",
            Self::KeyAmbiguous => "no key id, and not just one key fits",
            Self::BadSignature => "signature does not verify",
            Self::AudienceMissing => "aud missing or malformed",
            Self::AudienceOther => "meant for another audience",
            Self::AudienceShared => "meant for other audiences too",
            Self::SubjectMissing => "sub missing or malformed",
            Self::ExpiryMissing => "exp missing or malformed",
            Self::Expired => "expired",
            Self::NotBeforeMissing => "nbf missing or malformed",
            Self::NotYetValid => "not valid yet",
            Self::IssuedAtMissing => "iat missing or malformed",
            Self::IssuedInFuture => "issued in the future",
            Self::LivesTooLong => "lives longer than the issuer may let it",
            Self::IdMalformed => "jti malformed",
            Self::IdentityToken => "an identity or logout token",
            Self::ScopesMalformed => "scope claim malformed",
            Self::PolicyClaimMalformed => "a claim that policies see is malformed or too large",
            Self::TenantClaimMissing => "tenant claim missing or malformed",
            Self::TenantUnknown => "no tenant for the tenant claim",
            Self::BindingUnsupported => "bound in a way that is not supported",
            Self::BindingMissing => "not bound to a certificate",
            Self::BindingMismatch => "bound to another certificate",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
