//! Creates valid and invalid tokens with keys that the service trusts.

use std::sync::LazyLock;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{ALL, ISSUER};

/// Generated once, because an RSA key takes long to generate.
static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

/// The DER bytes before the point of a P-256 key (RFC 5480, section 2).
const P256_INFO: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Signs any header and claims.
pub(crate) struct Forge {
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Adds the members of `more` to `base`; a null removes a member.
fn with(mut base: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        let members = base.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    base
}

/// A valid header with these changes.
pub(crate) fn header(more: &Value) -> Value {
    with(json!({"alg": "ES256", "kid": "p256", "typ": "JWT"}), more)
}

/// Valid claims with these changes.
pub(crate) fn claims(more: &Value) -> Value {
    let now = jiff::Timestamp::now().as_second();
    let good = json!({
        "iss": ISSUER, "aud": "logkey", "sub": "mallory", "iat": now, "nbf": now, "exp": now + 600,
        "tenant": "payments", "scope": ALL, "jti": uuid::Uuid::new_v4().to_string(),
    });
    with(good, more)
}

fn jwk(key: &EcdsaKeyPair, kid: &str, crv: &str) -> Value {
    let (_, point) = key.public_key().as_ref().split_first().unwrap();
    let (x, y) = point.split_at(point.len() / 2);
    json!({"kty": "EC", "crv": crv, "kid": kid, "x": b64(x), "y": b64(y)})
}

/// The signed part of a token: its header and its claims.
pub(crate) fn message(header: &str, claims: &str) -> String {
    format!("{}.{}", b64(header), b64(claims))
}

#[expect(clippy::needless_pass_by_value, reason = "json! is written in place")]
impl Forge {
    pub(crate) fn new() -> Self {
        Self {
            p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
        }
    }

    /// The JWKS with the keys `p256`, `p384`, and `rsa`, which is only for RS256.
    pub(crate) fn jwks(&self) -> Value {
        let rsa = RSA.public_key();
        let (n, e) = (rsa.modulus(), rsa.exponent());
        let rsa = json!({
            "kty": "RSA", "kid": "rsa", "alg": "RS256",
            "n": b64(n.big_endian_without_leading_zero()), "e": b64(e.big_endian_without_leading_zero()),
        });
        json!({"keys": [self.public(), jwk(&self.p384, "p384", "P-384"), rsa]})
    }

    /// The public key `p256` as a JWK.
    pub(crate) fn public(&self) -> Value {
        jwk(&self.p256, "p256", "P-256")
    }

    /// The public key `p256` as an X.509 `SubjectPublicKeyInfo` in DER.
    pub(crate) fn public_der(&self) -> Vec<u8> {
        [P256_INFO, self.p256.public_key().as_ref()].concat()
    }

    /// A token of these texts, signed with ES256 by `p256` regardless of the header.
    pub(crate) fn signed(&self, header: &str, claims: &str) -> String {
        let message = message(header, claims);
        let signature = self.p256.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", b64(signature))
    }

    /// A token of these texts, signed with ES384 by `p384`.
    pub(crate) fn signed_with_p384(&self, header: &str, claims: &str) -> String {
        let message = message(header, claims);
        let signature = self.p384.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", b64(signature))
    }

    /// A valid token with these header changes, signed with ES384 by `p384`.
    pub(crate) fn signed_by_p384(&self, more: Value) -> String {
        self.signed_with_p384(&header(&more).to_string(), &claims(&json!({})).to_string())
    }

    /// A valid token signed by `rsa` with the algorithm `alg`.
    pub(crate) fn signed_by_rsa(alg: &str) -> String {
        let more = json!({"alg": alg, "kid": "rsa"});
        let message = message(&header(&more).to_string(), &claims(&json!({})).to_string());
        let padding: &dyn RsaEncoding = if alg == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
        let mut signature = vec![0; RSA.public_modulus_len()];
        RSA.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", b64(signature))
    }

    /// A valid token with these header changes.
    pub(crate) fn token_with_header(&self, more: Value) -> String {
        self.signed(&header(&more).to_string(), &claims(&json!({})).to_string())
    }

    /// A valid token with these claim changes.
    pub(crate) fn token_with_claims(&self, more: Value) -> String {
        self.signed(&header(&json!({})).to_string(), &claims(&more).to_string())
    }

    /// A valid token with another signature.
    pub(crate) fn with_signature(&self, signature: &[u8]) -> String {
        let good = self.token_with_claims(json!({}));
        format!("{}.{}", good.rsplit_once('.').unwrap().0, b64(signature))
    }
}
