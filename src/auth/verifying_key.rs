//! A public key with the one algorithm that it verifies. `jsonwebtoken` holds the key and verifies signatures.
//! The key set parser builds these keys, and the token verifier calls [`VerifyingKey::verify`].
//!
//! `jsonwebtoken` does not check a key before it verifies a signature with it, and it accepts every algorithm
//! of the key's family. The checks here reject a weak or invalid key when it is read. It does not know ES512,
//! so AWS-LC, which it uses too, verifies that directly.

use std::ops::RangeInclusive;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, crypto, errors::Error};
use serde_json::Value;

use super::{algorithm::Algorithm, strict_json::Members, token_error::TokenError};

/// The allowed sizes of an RSA modulus, in bits (RFC 7518, section 3.3, requires at least 2048).
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;
/// Why a key is skipped whose parameter cannot be decoded.
const NOT_BASE64URL: &str = "a parameter is not base64url";
const NOT_ON_CURVE: &str = "not a point on its curve";

/// A public key and the algorithm that it may verify.
#[derive(Debug)]
pub(super) struct VerifyingKey {
    algorithm: Algorithm,
    key: PublicKey,
    /// The bytes of the key's parameters. Keys with the same bytes are equal.
    parameters: Box<[u8]>,
}

#[derive(Debug)]
enum PublicKey {
    /// A key with the name of its algorithm in `jsonwebtoken`.
    Jwt(DecodingKey, jsonwebtoken::Algorithm),
    /// A point on P-521.
    P521(ParsedPublicKey),
}

/// A key with the bytes of its parameters, or why it cannot be used.
type Parsed<T> = Result<(T, Box<[u8]>), &'static str>;

// === impl VerifyingKey ===

impl VerifyingKey {
    /// Reads the parameters of a JSON Web Key for this algorithm. The error says why the key is unusable.
    pub(super) fn from_jwk(jwk: &Members, algorithm: Algorithm) -> Result<Self, &'static str> {
        use jsonwebtoken::Algorithm as Jwt;
        let named = |parsed: Parsed<DecodingKey>, name| {
            parsed.map(|(key, parameters)| (PublicKey::Jwt(key, name), parameters))
        };
        let (key, parameters) = match algorithm {
            Algorithm::Rs256 => named(rsa(jwk), Jwt::RS256),
            Algorithm::Rs384 => named(rsa(jwk), Jwt::RS384),
            Algorithm::Rs512 => named(rsa(jwk), Jwt::RS512),
            Algorithm::Ps256 => named(rsa(jwk), Jwt::PS256),
            Algorithm::Ps384 => named(rsa(jwk), Jwt::PS384),
            Algorithm::Ps512 => named(rsa(jwk), Jwt::PS512),
            Algorithm::Es256 => named(ec(jwk, &ECDSA_P256_SHA256_FIXED, 32), Jwt::ES256),
            Algorithm::Es384 => named(ec(jwk, &ECDSA_P384_SHA384_FIXED, 48), Jwt::ES384),
            Algorithm::Es512 => p521(jwk).map(|(key, parameters)| (PublicKey::P521(key), parameters)),
            Algorithm::EdDsa => named(ed25519(jwk), Jwt::EdDSA),
        }?;
        Ok(Self { algorithm, key, parameters })
    }

    /// The algorithm that the token's header must name.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Verifies the signature, in base64url, of the signed part of a token.
    pub(super) fn verify(&self, signed: &[u8], signature: &str) -> Result<(), TokenError> {
        let verified = match &self.key {
            PublicKey::Jwt(key, name) => crypto::verify(signature, signed, key, *name).unwrap_or(false),
            PublicKey::P521(key) => {
                let signature = URL_SAFE_NO_PAD.decode(signature);
                signature.is_ok_and(|signature| key.verify_sig(signed, &signature).is_ok())
            }
        };
        if verified { Ok(()) } else { Err(TokenError::BadSignature) }
    }

    /// Whether both verify the same signatures.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.parameters == other.parameters
    }
}

fn rsa(jwk: &Members) -> Parsed<DecodingKey> {
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
    // The exponent has a fixed place behind the modulus, so that no two keys have the same bytes.
    let parameters = [n.len().to_be_bytes().as_slice(), &n, &e].concat().into();
    // The padding makes no difference for the check of the components.
    RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map_err(|_rejected| "not a valid RSA key")?;
    Ok((key, parameters))
}

fn ec(jwk: &Members, curve: &'static dyn VerificationAlgorithm, len: usize) -> Parsed<DecodingKey> {
    let (x, y) = (coordinate(jwk, "x", len)?, coordinate(jwk, "y", len)?);
    on_curve(DecodingKey::from_ec_components(x, y), curve)
}

fn ed25519(jwk: &Members) -> Parsed<DecodingKey> {
    on_curve(DecodingKey::from_ed_components(coordinate(jwk, "x", 32)?), &ED25519)
}

/// Checks that the key is a point on the curve.
fn on_curve(
    key: Result<DecodingKey, Error>,
    curve: &'static dyn VerificationAlgorithm,
) -> Parsed<DecodingKey> {
    let key = key.map_err(|_invalid| NOT_BASE64URL)?;
    let point = key.try_get_as_bytes().map_err(|_not_a_point| "of an unsupported type")?;
    ParsedPublicKey::new(curve, point).map_err(|_rejected| NOT_ON_CURVE)?;
    let parameters = point.into();
    Ok((key, parameters))
}

/// A point on P-521, whose coordinates have 66 bytes (RFC 7518, section 6.2.1.2).
fn p521(jwk: &Members) -> Parsed<ParsedPublicKey> {
    let (x, y) = (decoded(coordinate(jwk, "x", 66)?)?, decoded(coordinate(jwk, "y", 66)?)?);
    // 4: uncompressed (SEC 1, section 2.3.3).
    let point = [&[4], x.as_slice(), &y].concat();
    let key = ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, &point).map_err(|_rejected| NOT_ON_CURVE)?;
    Ok((key, point.into()))
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
