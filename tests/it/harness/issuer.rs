//! A token issuer with one ES256 key.

use std::collections::BTreeMap;

use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet},
};
use serde_json::{Value, json};

/// The `iss` of its tokens.
pub(crate) const ISSUER: &str = "https://issuer.test";

/// Signs tokens with a generated key.
pub(crate) struct TestIssuer {
    kid: String,
    key: EncodingKey,
}

impl TestIssuer {
    pub(crate) fn new(kid: &str) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        Self { kid: kid.into(), key: EncodingKey::from_ec_der(&pair.serialize_der()) }
    }

    /// The JWKS with its public key.
    pub(crate) fn jwks(&self) -> String {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.kid.clone());
        serde_json::to_string(&JwkSet { keys: vec![jwk] }).unwrap()
    }

    /// A valid token, which expires after ten minutes.
    pub(crate) fn token(&self, tenant: &str, scopes: &str) -> String {
        self.token_with(tenant, scopes, &[])
    }

    /// A token with these claims added or replaced; `null` removes a claim.
    pub(crate) fn token_with(&self, tenant: &str, scopes: &str, other: &[(&str, Value)]) -> String {
        let now = jiff::Timestamp::now().as_second();
        let mut claims = BTreeMap::from([
            ("iss", json!(ISSUER)),
            ("aud", json!("logkey")),
            ("sub", json!("someone")),
            ("iat", json!(now)),
            ("nbf", json!(now)),
            ("exp", json!(now + 600)),
            ("jti", json!(uuid::Uuid::new_v4().to_string())),
            ("tenant", json!(tenant)),
            ("scope", json!(scopes)),
        ]);
        for (name, value) in other {
            if value.is_null() {
                claims.remove(name);
            } else {
                claims.insert(name, value.clone());
            }
        }
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}
