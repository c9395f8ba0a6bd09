//! Parses the header of a token. Nothing in it is verified yet.

use serde_json::Value;

use super::{algorithm::Algorithm, strict_json, token_error::TokenError};

/// A token's header, not verified.
#[derive(Debug)]
pub(super) struct Header {
    /// `alg`.
    pub(super) algorithm: Algorithm,
    /// `kid`.
    pub(super) kid: Option<Box<str>>,
    /// Whether `typ` says that this is an access token (RFC 9068).
    pub(super) at_jwt: bool,
}

/// Members that contain a key or its address. If the service used them, the token would choose the key that
/// verifies it (RFC 8725, sections 2.9 and 3.10).
const KEYS: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];
/// Members of encrypted (RFC 7516), nested (RFC 7519, section 5.2) and unencoded (RFC 7797) tokens.
const OPTIONS: [&str; 4] = ["enc", "zip", "cty", "b64"];

// === impl Header ===

impl Header {
    /// Parses the decoded header.
    pub(super) fn parse(unverified_json: &[u8]) -> Result<Self, TokenError> {
        let members = strict_json::object(unverified_json).ok_or(TokenError::HeaderMalformed)?;
        let has_any = |names: &[&str]| names.iter().any(|name| members.contains_key(*name));
        if has_any(&["crit"]) {
            return Err(TokenError::Critical);
        }
        if has_any(&KEYS) {
            return Err(TokenError::HeaderCarriesKey);
        }
        if has_any(&OPTIONS) {
            return Err(TokenError::HeaderOption);
        }
        let text = |name| members.get(name).map(|value| value.as_str().ok_or(TokenError::HeaderMalformed));
        let algorithm = text("alg").ok_or(TokenError::HeaderMalformed)??;
        Ok(Self {
            algorithm: algorithm.parse().map_err(|_unknown| TokenError::AlgorithmUnknown)?,
            kid: text("kid").transpose()?.map(Into::into),
            at_jwt: members.get("typ").map(is_access_token).transpose()?.unwrap_or(false),
        })
    }
}

/// Whether `typ` is `at+jwt`. RFC 7515, section 4.1.9, defines `typ` as a case-insensitive media type that
/// may omit `application/`. Types of other kinds of tokens are rejected, so that no such token of the same
/// issuer passes as an access token (RFC 8725, section 3.11).
fn is_access_token(typ: &Value) -> Result<bool, TokenError> {
    let typ = typ.as_str().ok_or(TokenError::HeaderMalformed)?.to_ascii_lowercase();
    match typ.strip_prefix("application/").unwrap_or(&typ) {
        "at+jwt" => Ok(true),
        "jwt" | "jose" => Ok(false),
        _ => Err(TokenError::WrongType),
    }
}
