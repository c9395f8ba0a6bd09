//! The header of a token: what it claims of its own making, before anything is proved.

use serde_json::Value;

use super::{Algorithm, TokenError, strict_json};

/// A token's header, read but not verified.
#[derive(Debug)]
pub(super) struct Header {
    /// `alg`.
    pub(super) algorithm: Algorithm,
    /// `kid`.
    pub(super) kid: Option<Box<str>>,
    /// Whether `typ` says that this is an access token (RFC 9068).
    pub(super) at_jwt: bool,
}

/// Members that bring a key or say where one is: followed, they would let the token choose its own
/// judge (RFC 8725, sections 2.9 and 3.10).
const KEYS: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];
/// Members of encrypted (RFC 7516), nested (RFC 7519, section 5.2) and unencoded (RFC 7797) tokens.
const OPTIONS: [&str; 4] = ["enc", "zip", "cty", "b64"];

// === impl Header ===

impl Header {
    /// Reads a header.
    pub(super) fn parse(unverified_json: &[u8]) -> Result<Self, TokenError> {
        let members = strict_json::object(unverified_json).ok_or(TokenError::HeaderMalformed)?;
        let holds = |names: &[&str]| names.iter().any(|name| members.contains_key(*name));
        if holds(&["crit"]) {
            return Err(TokenError::Critical);
        }
        if holds(&KEYS) {
            return Err(TokenError::HeaderCarriesKey);
        }
        if holds(&OPTIONS) {
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

/// `typ` as RFC 7515, section 4.1.9, has it: a media type without regard to case, of which
/// `application/` may be left away. A type that is none of a plain or an access token is refused, so
/// that no other kind of token of the same issuer is taken for one (RFC 8725, section 3.11).
fn is_access_token(typ: &Value) -> Result<bool, TokenError> {
    let typ = typ.as_str().ok_or(TokenError::HeaderMalformed)?.to_ascii_lowercase();
    match typ.strip_prefix("application/").unwrap_or(&typ) {
        "at+jwt" => Ok(true),
        "jwt" | "jose" => Ok(false),
        _ => Err(TokenError::WrongType),
    }
}
