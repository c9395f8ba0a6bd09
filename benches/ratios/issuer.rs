//! An identity provider for the bench: it writes its key set to a file, and tokens to files, one on each
//! line.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};

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
/// The number of new tokens for the first window. Each later window gets 1.5 times as many as the previous
/// one used.
const FIRST: u64 = 20_000;

/// Signs tokens.
pub(crate) struct Issuer {
    key: EncodingKey,
    jwks: String,
    folder: tempfile::TempDir,
    signed: Cell<u64>,
    next_token: Cell<u64>,
}

/// The tokens of the calls of a window.
#[derive(Clone, Copy)]
pub(crate) enum Tokens<'a> {
    /// The same token for all calls.
    Same(&'a Issuer),
    /// A new token for each call.
    New(&'a Issuer),
    /// All the same token, whose signature belongs to another token.
    BadSignature(&'a Issuer),
    /// All the same token, whose key id is not in the key set.
    UnknownKeyId(&'a Issuer),
}

// === impl Issuer ===

impl Issuer {
    pub(crate) fn new() -> Outcome<Self> {
        let key = KeyPair::generate()?;
        // An uncompressed point: one byte for the format, then x and y.
        let [_, point @ ..] = key.public_key_raw() else { return Err("no public key".into()) };
        let (x, y) = point.split_at(point.len() / 2);
        let jwks = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
            "x": BASE64_URL_SAFE_NO_PAD.encode(x), "y": BASE64_URL_SAFE_NO_PAD.encode(y),
        }] });
        let issuer = Self {
            key: EncodingKey::from_ec_pem(key.serialize_pem().as_bytes())?,
            jwks: jwks.to_string(),
            folder: tempfile::tempdir()?,
            signed: Cell::new(0),
            next_token: Cell::new(FIRST),
        };
        fs::write(issuer.same(), issuer.token()?)?;
        Ok(issuer)
    }

    /// Writes `jwks.json` into a folder.
    pub(crate) fn publish(&self, folder: &Path) -> Outcome<()> {
        Ok(fs::write(folder.join("jwks.json"), &self.jwks)?)
    }

    fn token(&self) -> Outcome<String> {
        self.token_of_key(KEY_ID)
    }

    fn token_with_bad_signature(&self) -> Outcome<String> {
        let (token, other) = (self.token()?, self.token()?);
        let (signed, _) = token.rsplit_once('.').ok_or("no signature")?;
        let (_, signature) = other.rsplit_once('.').ok_or("no signature")?;
        Ok(format!("{signed}.{signature}"))
    }

    fn token_of_key(&self, key_id: &str) -> Outcome<String> {
        let (now, number) = (jiff::Timestamp::now().as_second(), self.signed.get());
        self.signed.set(number + 1);
        let claims = json!({
            "iss": ISSUER, "aud": "logkey", "sub": "bench@example.com", "tenant": "bench",
            "scope": "logkey:read logkey:associate", "iat": now, "nbf": now, "exp": now + TOKEN_SECONDS,
            "jti": format!("bench-{number}"),
        });
        let header = Header { kid: Some(key_id.to_owned()), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, &claims, &self.key)?)
    }

    fn same(&self) -> PathBuf {
        self.folder.path().join("same")
    }
}

// === impl Tokens ===

impl Tokens<'_> {
    /// Writes the tokens of a window, and returns their file.
    pub(crate) fn file(self) -> Outcome<PathBuf> {
        let (issuer, name, tokens) = match self {
            Self::Same(issuer) => return Ok(issuer.same()),
            Self::New(issuer) => {
                let tokens: Outcome<Vec<String>> =
                    (0..issuer.next_token.get()).map(|_| issuer.token()).collect();
                (issuer, "new", tokens?.join("\n"))
            }
            Self::BadSignature(issuer) => (issuer, "bad-signature", issuer.token_with_bad_signature()?),
            Self::UnknownKeyId(issuer) => (issuer, "unknown-key-id", issuer.token_of_key("unknown")?),
        };
        let path = issuer.folder.path().join(name);
        fs::write(&path, tokens)?;
        Ok(path)
    }

    /// Records how many calls a window made.
    pub(crate) fn used(self, calls: u64) {
        if let Self::New(issuer) = self {
            issuer.next_token.set(calls + calls / 2);
        }
    }
}
