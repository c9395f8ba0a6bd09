//! An identity provider for the bench: it writes its key set to a file, and signs valid and invalid tokens.

use std::{fs, path::Path};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::json;

use crate::Outcome;

/// The `iss` of the tokens.
pub(crate) const ISSUER: &str = "https://idp.example.com";
const KEY_ID: &str = "bench-1";
/// The lifetime of a token in seconds.
const TOKEN_SECONDS: i64 = 3600;

/// Signs tokens.
pub(crate) struct Issuer(EncodingKey);

impl Issuer {
    /// Writes `jwks.json` into `folder`.
    pub(crate) fn new(folder: &Path) -> Outcome<Self> {
        let key = KeyPair::generate()?;
        // An uncompressed point: one byte for the format, then x and y.
        let [_, point @ ..] = key.public_key_raw() else { return Err("no public key".into()) };
        let (x, y) = point.split_at(point.len() / 2);
        let jwks = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
            "x": BASE64_URL_SAFE_NO_PAD.encode(x), "y": BASE64_URL_SAFE_NO_PAD.encode(y),
        }] });
        fs::write(folder.join("jwks.json"), jwks.to_string())?;
        Ok(Self(EncodingKey::from_ec_pem(key.serialize_pem().as_bytes())?))
    }

    /// A valid token.
    pub(crate) fn token(&self, tenant: &str) -> Outcome<String> {
        self.sign(tenant, KEY_ID)
    }

    /// A token with the id of an unknown key.
    pub(crate) fn of_unknown_key(&self, tenant: &str) -> Outcome<String> {
        self.sign(tenant, "unknown-key")
    }

    /// A token with the signature of another token.
    pub(crate) fn badly_signed(&self, tenant: &str) -> Outcome<String> {
        let (good, other) = (self.token(tenant)?, self.token("other")?);
        let (claims_part, _) = good.rsplit_once('.').ok_or("not a token")?;
        let (_, signature) = other.rsplit_once('.').ok_or("not a token")?;
        Ok(format!("{claims_part}.{signature}"))
    }

    fn sign(&self, tenant: &str, key: &str) -> Outcome<String> {
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({
            "iss": ISSUER, "aud": "logkey", "sub": "bench@example.com", "tenant": tenant,
            "scope": "logkey:read", "iat": now, "nbf": now, "exp": now + TOKEN_SECONDS,
        });
        let header = Header { kid: Some(key.to_owned()), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, &claims, &self.0)?)
    }
}
