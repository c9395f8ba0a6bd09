//! Why a token is rejected. The audit log records the reason; the caller does not receive it.

use std::fmt;

/// Why a token is rejected. The text contains nothing from the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenError {
    /// Longer than `max_token_bytes`. The service does not parse such a token.
    TooLong,
    /// The token is not three parts of base64url.
    NotCompact,
    /// The token has five parts: it is encrypted.
    Encrypted,
    /// The header is not a JSON object without duplicate members, or a member has the wrong type.
    HeaderMalformed,
    /// The header has `crit`, which lists extensions that the recipient must understand.
    Critical,
    /// The header contains a key or the address of one.
    HeaderCarriesKey,
    /// The header requests compression, encryption, nesting or an unencoded payload.
    HeaderOption,
    /// The service does not support the `alg`.
    AlgorithmUnknown,
    /// The issuer's settings do not allow the `alg`.
    AlgorithmNotAllowed,
    /// The `typ` is that of another kind of token.
    WrongType,
    /// The `typ` is not `at+jwt`, which the issuer's settings require.
    NotAnAccessToken,
    /// The payload is not a JSON object without duplicate members.
    ClaimsMalformed,
    /// `iss` is missing or not a string.
    IssuerMissing,
    /// `iss` is not a configured issuer.
    IssuerUnknown,
    /// The issuer has no key with this id for this algorithm.
    KeyUnknown,
    /// More than one key matches the token, or the token has no key id and no key matches.
    KeyAmbiguous,
    /// The signature is wrong.
    BadSignature,
    /// `aud` is missing, or not a string or a list of strings.
    AudienceMissing,
    /// `client_id`, which names the audience for this issuer, is missing or not a string.
    ClientIdMissing,
    /// `aud` contains none of the issuer's `audiences`, or `client_id` is none of them.
    AudienceOther,
    /// `aud` contains other audiences too, which `only_audience` forbids.
    AudienceShared,
    /// `sub` is missing, not a string, empty, too long, or has control characters.
    SubjectMissing,
    /// `act` is not an object, or its `sub` is missing or unusable like the token's `sub`.
    ActorMalformed,
    /// `exp` is missing or not a time.
    ExpiryMissing,
    /// The time in `exp` has passed.
    Expired,
    /// `nbf` is missing although it is required, or it is not a time.
    NotBeforeMissing,
    /// The time in `nbf` is in the future.
    NotYetValid,
    /// `iat` is missing although it is required, or it is not a time.
    IssuedAtMissing,
    /// The time in `iat` is in the future.
    IssuedInFuture,
    /// The lifetime of the token exceeds the issuer's `max_lifetime`.
    LivesTooLong,
    /// `jti` is not a string.
    IdMalformed,
    /// The token has claims that only an identity token or a logout token has.
    IdentityToken,
    /// The scope claim is neither a string nor a list of strings.
    ScopesMalformed,
    /// A claim in `policy_claims` is not a string, number or boolean or a list of them, or it is too large.
    PolicyClaimMalformed,
    /// The tenant claim is missing, not a string, or does not match its pattern.
    TenantClaimMissing,
    /// No tenant lists this issuer and this value of the tenant claim.
    TenantUnknown,
    /// `cnf` is malformed, or it is a kind of binding that the service cannot check.
    BindingUnsupported,
    /// The token is not bound to a certificate, which `require_bound` requires.
    BindingMissing,
    /// The token is bound to a certificate that the caller did not present.
    BindingMismatch,
}

// === impl TokenError ===

impl TokenError {
    /// The reason in a few words, as the audit log records it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too long",
            Self::NotCompact => "not a compact signed token",
            Self::Encrypted => "encrypted",
            Self::HeaderMalformed => "header malformed",
            Self::Critical => "header has crit",
            Self::HeaderCarriesKey => "header carries its own key",
            Self::HeaderOption => "header requests compression, encryption, nesting or an unencoded payload",
            Self::AlgorithmUnknown => "algorithm unknown",
            Self::AlgorithmNotAllowed => "algorithm not allowed for the issuer",
            Self::WrongType => "typ is that of another kind of token",
            Self::NotAnAccessToken => "typ is not at+jwt",
            Self::ClaimsMalformed => "claims malformed",
            Self::IssuerMissing => "iss missing or not a string",
            Self::IssuerUnknown => "issuer unknown",
            Self::KeyUnknown => "key unknown",
            Self::KeyAmbiguous => "not exactly one key matches",
            Self::BadSignature => "signature does not verify",
            Self::AudienceMissing => "aud missing or malformed",
            Self::ClientIdMissing => "client_id missing or malformed",
            Self::AudienceOther => "meant for another audience",
            Self::AudienceShared => "meant for other audiences too",
            Self::SubjectMissing => "sub missing or malformed",
            Self::ActorMalformed => "act malformed, or without a usable sub",
            Self::ExpiryMissing => "exp missing or malformed",
            Self::Expired => "expired",
            Self::NotBeforeMissing => "nbf missing or malformed",
            Self::NotYetValid => "not valid yet",
            Self::IssuedAtMissing => "iat missing or malformed",
            Self::IssuedInFuture => "issued in the future",
            Self::LivesTooLong => "lifetime exceeds max_lifetime of the issuer",
            Self::IdMalformed => "jti malformed",
            Self::IdentityToken => "an identity or logout token",
            Self::ScopesMalformed => "scope claim malformed",
            Self::PolicyClaimMalformed => "a policy claim is malformed or too large",
            Self::TenantClaimMissing => "tenant claim missing or malformed",
            Self::TenantUnknown => "no tenant for the tenant claim",
            Self::BindingUnsupported => "cnf malformed or not supported",
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
