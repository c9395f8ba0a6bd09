//! Splits a token into its parts. The token verifier reads from them which issuer and key to ask.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    header::Header,
    strict_json::{self, Members},
    token_error::TokenError,
};

/// The parts of a token, none of them verified.
pub(super) struct RawToken<'t> {
    /// The text that the signature covers: header and claims, in base64url.
    pub(super) signed: &'t str,
    /// The header.
    pub(super) header: Header,
    /// The claims.
    pub(super) claims: Members,
    /// The signature, in base64url.
    pub(super) signature: &'t str,
}

// === impl RawToken ===

impl<'t> RawToken<'t> {
    /// Splits and decodes a token in the compact serialization (RFC 7515, section 7.1) and in no other form.
    pub(super) fn read(unverified_token: &'t str) -> Result<Self, TokenError> {
        let (signed, signature) = unverified_token.rsplit_once('.').ok_or(TokenError::NotCompact)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::NotCompact)?;
        match claims.bytes().filter(|byte| *byte == b'.').count() {
            0 => {}
            2 => return Err(TokenError::Encrypted),
            _ => return Err(TokenError::NotCompact),
        }
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_invalid| TokenError::NotCompact);
        let header = Header::parse(&decoded(header)?)?;
        let claims = strict_json::object(&decoded(claims)?).ok_or(TokenError::ClaimsMalformed)?;
        // A signature that is not base64url is a malformed token, not a wrong signature.
        decoded(signature)?;
        Ok(Self { signed, header, claims, signature })
    }
}
