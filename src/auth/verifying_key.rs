//! A public key with the one algorithm that it verifies. `jsonwebtoken` holds the key and verifies signatures.
//! The key set parser builds these keys, and the token verifier calls [`VerifyingKey::verify`].
//!
//! `jsonwebtoken` does not check a key before it verifies a signature with it, and it accepts every algorithm
//! of the key's family. The checks here reject a weak or invalid key when it is read.

use std::ops::RangeInclusive;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, crypto, errors::Error};
use serde_json::Value;

use super::{algorithm::Algorithm, strict_json::Members, token_error::TokenError};

/// The allowed sizes of an RSA modulus, in bits (RFC 7518, section 3.3, requires at least 2048).
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;
/// Why a key is skipped whose parameter cannot be decoded.
const NOT_BASE64URL: &str = "a parameter is not base64url";

/// A public key and the algorithm that it may verify.
#[derive(Debug)]
pub(super) struct VerifyingKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

// === impl VerifyingKey ===

impl VerifyingKey {
    /// Reads the parameters of a JSON Web Key for this algorithm. The error says why the key is unusable.
    pub(super) fn from_jwk(jwk: &Members, algorithm: Algorithm) -> Result<Self, &'static str> {
        let key = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => rsa(jwk),
            Algorithm::Es256 => ec(jwk, &ECDSA_P256_SHA256_FIXED, 32),
            Algorithm::Es384 => ec(jwk, &ECDSA_P384_SHA384_FIXED, 48),
            Algorithm::EdDsa => ed25519(jwk),
        };
        Ok(Self { algorithm, key: key? })
    }

    /// The algorithm that the token's header must name.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Verifies the signature, in base64url, of the signed part of a token.
    pub(super) fn verify(&self, signed: &[u8], signature: &str) -> Result<(), TokenError> {
        match crypto::verify(signature, signed, &self.key, self.algorithm.into()) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(TokenError::BadSignature),
        }
    }
}

fn rsa(jwk: &Members) -> Result<DecodingKey, &'static str> {
    let (n, e) = (integer(jwk, "n")?, integer(jwk, "e")?);
    let leading = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !RSA_BITS.contains(&(n.len() * 8).saturating_sub(leading)) {
        return Err("an RSA modulus of less than 2048 or more than 8192 bits");
    }
    // FIPS 186-5, section 5.4: an odd exponent above 2^16.
    if e.len() < 3 || e.last().is_none_or(|byte| byte % 2 == 0) {
        return Err("an RSA exponent that is even or below 65537");
    }
    let key = DecodingKey::from_rsa_raw_components(&n, &e);
    // The padding makes no difference for the check of the components.
    RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map_err(|_rejected| "not a valid RSA key")?;
    Ok(key)
}

fn ec(
    jwk: &Members,
    curve: &'static dyn VerificationAlgorithm,
    len: usize,
) -> Result<DecodingKey, &'static str> {
    let (x, y) = (coordinate(jwk, "x", len)?, coordinate(jwk, "y", len)?);
    on_curve(DecodingKey::from_ec_components(x, y), curve)
}

fn ed25519(jwk: &Members) -> Result<DecodingKey, &'static str> {
    on_curve(DecodingKey::from_ed_components(coordinate(jwk, "x", 32)?), &ED25519)
}

/// Checks that the key is a point on the curve.
fn on_curve(
    key: Result<DecodingKey, Error>,
    curve: &'static dyn VerificationAlgorithm,
) -> Result<DecodingKey, &'static str> {
    let key = key.map_err(|_invalid| NOT_BASE64URL)?;
    let point = key.try_get_as_bytes().map_err(|_not_a_point| "of an unsupported type")?;
    ParsedPublicKey::new(curve, point).map_err(|_rejected| "not a point on its curve")?;
    Ok(key)
}

/// A `Base64urlUInt` (RFC 7518, section 2) without the leading zeros that some issuers send.
fn integer(jwk: &Members, name: &str) -> Result<Vec<u8>, &'static str> {
    let bytes = decoded(parameter(jwk, name)?)?;
    Ok(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

/// The text of a coordinate that has this many bytes.
fn coordinate<'j>(jwk: &'j Members, name: &str, len: usize) -> Result<&'j str, &'static str> {
    let text = parameter(jwk, name)?;
    if decoded(text)?.len() == len {
        Ok(text)
    } else {
        Err("a coordinate has the wrong length for its curve")
    }
}

fn parameter<'j>(jwk: &'j Members, name: &str) -> Result<&'j str, &'static str> {
    jwk.get(name).and_then(Value::as_str).ok_or("a parameter is missing")
}

fn decoded(text: &str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_invalid| NOT_BASE64URL)
}
