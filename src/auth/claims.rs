//! Checks the claims of a token after its signature.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    config::{AudienceClaim, IssuerConfig},
    policy_claims,
    strict_json::Members,
    token_error::TokenError,
};
use crate::domain::{
    principal::{CertificateThumbprint, Delegation, PolicyClaims, Scopes},
    time::Timestamp,
};

/// The longest subject, in bytes: the limit of a SPIFFE id (SPIFFE-ID, section 2.3).
const MAX_SUBJECT: usize = 2048;
/// The longest `jti` that becomes the token id, in bytes. The id of a token with a longer one is a hash.
const MAX_TOKEN_ID: usize = 128;
/// The largest time: the last second of the year 9999.
const MAX_TIME: i64 = 253_402_300_799;
/// Claims that only identity tokens have (`OpenID` Connect Core, section 3.3.2.11).
const IDENTITY: [&str; 2] = ["at_hash", "c_hash"];
/// The claim of security event tokens such as logout tokens (RFC 8417). A caller's token never has it.
const EVENTS: &str = "events";
/// The claims by which Keycloak (`typ`) and Cognito (`token_use`) distinguish their tokens, with the value
/// in access tokens.
const KINDS: [(&str, &str); 2] = [("typ", "Bearer"), ("token_use", "access")];

/// The checked claims of a token.
#[derive(Debug)]
pub(super) struct Claims {
    /// `sub`.
    pub(super) subject: Arc<str>,
    /// The value of the tenant claim, or the part of it that names the tenant.
    pub(super) tenant: Box<str>,
    /// The scope claim, or the issuer's default scopes, without those that the issuer may not grant.
    pub(super) scopes: Scopes,
    /// The claims that policies may use.
    pub(super) for_policy: PolicyClaims,
    /// `jti`, if it is printable and not too long.
    pub(super) id: Option<Arc<str>>,
    /// `exp`.
    pub(super) expires: Timestamp,
    /// `nbf`.
    pub(super) not_before: Option<Timestamp>,
    /// `cnf.x5t#S256`.
    pub(super) bound_to: Option<CertificateThumbprint>,
    /// `sub` and `act.sub`.
    pub(super) delegation: Option<Delegation>,
}

// === impl Claims ===

impl Claims {
    /// Checks the claims of a token of this issuer, except whether the tenant exists and the binding holds.
    pub(super) fn check(claims: &Members, issuer: &IssuerConfig, now: Timestamp) -> Result<Self, TokenError> {
        check_kind(claims, issuer)?;
        check_audience(claims, issuer)?;
        let expires = time(claims, "exp", TokenError::ExpiryMissing)?.ok_or(TokenError::ExpiryMissing)?;
        let not_before = time(claims, "nbf", TokenError::NotBeforeMissing)?;
        let issued_at = time(claims, "iat", TokenError::IssuedAtMissing)?;
        if not_before.is_none() && issuer.require_nbf {
            return Err(TokenError::NotBeforeMissing);
        }
        check_now(expires, not_before, issuer.leeway, now)?;
        if issued_at.is_some_and(|at| at > now.plus(issuer.leeway)) {
            return Err(TokenError::IssuedInFuture);
        }
        if let Some(limit) = issuer.max_lifetime {
            let issued_at = issued_at.ok_or(TokenError::IssuedAtMissing)?;
            if expires > issued_at.plus(limit) {
                return Err(TokenError::LivesTooLong);
            }
        }
        let subject = subject(claims.get("sub")).ok_or(TokenError::SubjectMissing)?;
        Ok(Self {
            delegation: delegation(claims, &subject)?,
            subject,
            tenant: tenant(claims, issuer)?,
            scopes: scopes(claims, issuer)?,
            for_policy: policy_claims::read(claims, &issuer.policy_claims)?,
            id: token_id(claims)?,
            expires,
            not_before,
            bound_to: confirmation(claims)?,
        })
    }

    /// Checks that a bound token comes with its certificate (RFC 8705, section 3).
    pub(super) fn check_binding(
        &self,
        issuer: &IssuerConfig,
        certificate: Option<&CertificateThumbprint>,
    ) -> Result<(), TokenError> {
        match &self.bound_to {
            Some(bound) if Some(bound) == certificate => Ok(()),
            Some(_) => Err(TokenError::BindingMismatch),
            None if issuer.require_bound => Err(TokenError::BindingMissing),
            None => Ok(()),
        }
    }
}

/// Checks that a token with these times is valid now.
pub(super) fn check_now(
    expires: Timestamp,
    not_before: Option<Timestamp>,
    leeway: Duration,
    now: Timestamp,
) -> Result<(), TokenError> {
    if now >= expires.plus(leeway) {
        return Err(TokenError::Expired);
    }
    if not_before.is_some_and(|from| from > now.plus(leeway)) {
        return Err(TokenError::NotYetValid);
    }
    Ok(())
}

fn check_kind(claims: &Members, issuer: &IssuerConfig) -> Result<(), TokenError> {
    let other = |(name, access): &(&str, &str)| {
        claims
            .get(*name)
            .is_some_and(|kind| !kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case(access)))
    };
    let identity = IDENTITY.iter().any(|name| claims.contains_key(*name)) || KINDS.iter().any(other);
    if claims.contains_key(EVENTS) || (identity && !issuer.accept_id_tokens) {
        return Err(TokenError::IdentityToken);
    }
    Ok(())
}

fn check_audience(claims: &Members, issuer: &IssuerConfig) -> Result<(), TokenError> {
    let is_ours = |aud: &&str| issuer.audiences.iter().any(|candidate| &**candidate == *aud);
    if issuer.audience_claim == AudienceClaim::ClientId {
        let client = claims.get("client_id").and_then(Value::as_str).ok_or(TokenError::ClientIdMissing)?;
        if !is_ours(&client) {
            return Err(TokenError::AudienceOther);
        }
        // RFC 7519, section 4.1.3: an `aud` that is present must be ours all the same.
        if !claims.contains_key("aud") {
            return Ok(());
        }
    }
    let audiences =
        strings(claims.get("aud").ok_or(TokenError::AudienceMissing)?).ok_or(TokenError::AudienceMissing)?;
    if !audiences.iter().any(is_ours) {
        return Err(TokenError::AudienceOther);
    }
    if issuer.only_audience && !audiences.iter().all(is_ours) {
        return Err(TokenError::AudienceShared);
    }
    Ok(())
}

fn subject(sub: Option<&Value>) -> Option<Arc<str>> {
    let subject = sub?.as_str()?;
    let is_usable = (1..=MAX_SUBJECT).contains(&subject.len()) && !subject.chars().any(char::is_control);
    is_usable.then(|| subject.into())
}

/// The person and the program of a token with `act`. Only the outermost `act` is the current actor; the ones in it
/// are history, which RFC 8693, section 4.1, excludes from access control.
fn delegation(claims: &Members, subject_claim: &Arc<str>) -> Result<Option<Delegation>, TokenError> {
    let Some(act) = claims.get("act") else { return Ok(None) };
    let actor = act.as_object().and_then(|act| subject(act.get("sub"))).ok_or(TokenError::ActorMalformed)?;
    Ok(Some(Delegation { on_behalf_of: Arc::clone(subject_claim), actor }))
}

fn tenant(claims: &Members, issuer: &IssuerConfig) -> Result<Box<str>, TokenError> {
    let value = issuer.tenant_claim.find(claims).and_then(Value::as_str);
    let part = value.and_then(|value| match &issuer.tenant_claim_pattern {
        Some(pattern) => pattern.extract(value),
        None => Some(value),
    });
    part.map(Into::into).ok_or(TokenError::TenantClaimMissing)
}

/// The scopes that the issuer may grant. A scope beyond that does not count, and the token stays valid: the
/// issuer may use it for another service.
fn scopes(claims: &Members, issuer: &IssuerConfig) -> Result<Scopes, TokenError> {
    let names: Vec<&str> = match issuer.scope_claim.find(claims) {
        None => issuer.default_scopes.iter().map(AsRef::as_ref).collect(),
        Some(Value::String(text)) => text.split(' ').filter(|scope| !scope.is_empty()).collect(),
        Some(list) => strings(list).ok_or(TokenError::ScopesMalformed)?,
    };
    Ok(names.into_iter().filter(|scope| issuer.may_grant(scope)).collect())
}

/// `jti`, if it is printable and not too long.
pub(super) fn token_id(claims: &Members) -> Result<Option<Arc<str>>, TokenError> {
    let Some(id) = claims.get("jti") else {
        return Ok(None);
    };
    let id = id.as_str().ok_or(TokenError::IdMalformed)?;
    let printable = (1..=MAX_TOKEN_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    Ok(printable.then(|| id.into()))
}

/// `cnf` (RFC 7800) with `x5t#S256` (RFC 8705, section 3.1) as its only member. The service cannot check the
/// proof that another member would require.
fn confirmation(claims: &Members) -> Result<Option<CertificateThumbprint>, TokenError> {
    let Some(cnf) = claims.get("cnf") else {
        return Ok(None);
    };
    let members = cnf.as_object().filter(|members| members.len() == 1);
    let thumbprint = members.and_then(|members| members.get("x5t#S256")?.as_str());
    let bytes = thumbprint.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let sha256 = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(TokenError::BindingUnsupported)?;
    Ok(Some(CertificateThumbprint(sha256)))
}

/// A `NumericDate` (RFC 7519, section 2), rounded down to whole seconds.
fn time(claims: &Members, name: &str, error: TokenError) -> Result<Option<Timestamp>, TokenError> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let secs = value.as_i64().or_else(|| value.as_f64().and_then(as_integer)).ok_or(error)?;
    if (0..=MAX_TIME).contains(&secs) { Ok(Some(Timestamp::from_secs(secs))) } else { Err(error) }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
#[expect(clippy::cast_precision_loss, reason = "MAX_TIME is far below 2^53")]
fn as_integer(secs: f64) -> Option<i64> {
    (0.0..=MAX_TIME as f64).contains(&secs).then_some(secs as i64)
}

/// The strings of a string or of a non-empty list of strings; none for any other value.
fn strings(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(list) if !list.is_empty() => list.iter().map(Value::as_str).collect(),
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}
