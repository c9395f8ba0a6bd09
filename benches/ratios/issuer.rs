//! An identity provider of the bench's own: its key set in a file, and one token.

use std::{fs, path::Path};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::json;

use crate::Outcome;

/// The `iss` of the token.
pub(crate) const ISSUER: &str = "https://idp.example.com";
const KEY_ID: &str = "bench-1";
/// Seconds that the token lasts.
const TOKEN_SECONDS: i64 = 3600;

/// Writes `jwks.json` into `folder` and signs a token that it verifies.
pub(crate) fn token(folder: &Path) -> Outcome<String> {
    let key = KeyPair::generate()?;
    // An uncompressed point: a byte that says so, x, y.
    let [_, point @ ..] = key.public_key_raw() else { return Err("no public key".into()) };
    let (x, y) = point.split_at(point.len() / 2);
    let jwks = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
        "x": BASE64_URL_SAFE_NO_PAD.encode(x), "y": BASE64_URL_SAFE_NO_PAD.encode(y),
    }] });
    fs::write(folder.join("jwks.json"), jwks.to_string())?;
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": ISSUER, "aud": "logkey", "sub": "bench@example.com", "tenant": "bench",
        "scope": "logkey:read logkey:associate", "iat": now, "nbf": now, "exp": now + TOKEN_SECONDS,
    });
    let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::ES256) };
    let key = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes())?;
    Ok(jsonwebtoken::encode(&header, &claims, &key)?)
}
