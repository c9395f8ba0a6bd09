//! An issuer for tests: it signs any header and any claims with real keys.

use std::{
    num::NonZeroU32,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
        RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::{Algorithm, Config, IssuerConfig, JwtAuthn, KeySource};
use crate::{
    domain::{
        principal::{CertificateThumbprint, Principal},
        tenant::{Limits, Tenant, TenantId, Tenants},
        time::Timestamp,
    },
    ports::{Authenticate, AuthnError, Clock, TenantDirectory},
};

pub(super) const ISSUER: &str = "https://idp.test";
pub(super) const AUDIENCE: &str = "logkey";
/// The initial time of the test's clock, in seconds.
pub(super) const NOW: i64 = 1_000_000;

pub(super) enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, &'static str, usize),
    Ed(Ed25519KeyPair),
}

pub(super) static RSA: LazyLock<Signer> =
    LazyLock::new(|| Signer::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
pub(super) static P256: LazyLock<Signer> = LazyLock::new(|| {
    Signer::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), "P-256", 32)
});
/// A key of the same type as [`P256`].
pub(super) static OTHER_P256: LazyLock<Signer> = LazyLock::new(|| {
    Signer::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), "P-256", 32)
});
pub(super) static P384: LazyLock<Signer> = LazyLock::new(|| {
    Signer::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(), "P-384", 48)
});
pub(super) static P521: LazyLock<Signer> = LazyLock::new(|| {
    Signer::Ec(EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap(), "P-521", 66)
});
pub(super) static ED: LazyLock<Signer> = LazyLock::new(|| Signer::Ed(Ed25519KeyPair::generate().unwrap()));

impl Signer {
    pub(super) fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let padding: &dyn RsaEncoding = match alg {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                key.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(key, ..) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key as a JWK without `kid`, `alg` and `use`.
    pub(super) fn jwk(&self) -> Value {
        match self {
            Self::Rsa(key) => {
                let n = key.public_key().modulus().big_endian_without_leading_zero();
                let e = key.public_key().exponent().big_endian_without_leading_zero();
                json!({"kty": "RSA", "n": b64(n), "e": b64(e)})
            }
            Self::Ec(key, curve, len) => {
                let point = key.public_key().as_ref();
                let (x, y) = point[1..].split_at(*len);
                json!({"kty": "EC", "crv": curve, "x": b64(x), "y": b64(y)})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().as_ref())})
            }
        }
    }

    pub(super) fn jwk_with(&self, more: Value) -> Value {
        with(self.jwk(), more)
    }
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Adds the members of `more` to `base`. A null removes the member.
pub(super) fn with(mut base: Value, more: Value) -> Value {
    let members = base.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    base
}

pub(super) fn header(more: Value) -> Value {
    with(json!({"alg": "ES256", "kid": "p256", "typ": "JWT"}), more)
}

pub(super) fn claims(more: Value) -> Value {
    let good = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 600, "nbf": NOW - 10, "iat": NOW - 10,
        "jti": "t-1", "tenant": "payments", "scope": "logkey:read logkey:associate",
    });
    with(good, more)
}

/// A token with this header and these claims, signed with the algorithm that the header names.
pub(super) fn signed(key: &Signer, header: &str, claims: &str) -> String {
    let alg =
        serde_json::from_str::<Value>(header).unwrap_or_default()["alg"].as_str().unwrap_or("").to_owned();
    let message = format!("{}.{}", b64(header), b64(claims));
    format!("{message}.{}", b64(key.sign(&alg, message.as_bytes())))
}

/// A valid token with these changes.
pub(super) fn token(header_change: Value, claims_change: Value) -> String {
    signed(&P256, &header(header_change).to_string(), &claims(claims_change).to_string())
}

pub(super) fn all_keys() -> Value {
    json!({"keys": [
        RSA.jwk_with(json!({"kid": "rsa", "use": "sig"})),
        P256.jwk_with(json!({"kid": "p256", "use": "sig", "alg": "ES256"})),
        P384.jwk_with(json!({"kid": "p384"})),
        P521.jwk_with(json!({"kid": "p521"})),
        ED.jwk_with(json!({"kid": "ed", "alg": "EdDSA"})),
    ]})
}

#[derive(Debug)]
pub(super) struct TestClock(AtomicI64);

impl TestClock {
    pub(super) fn set(&self, secs: i64) {
        self.0.store(secs, SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(SeqCst))
    }
}

/// A tenant directory whose tenants a test can replace.
#[derive(Debug, Default)]
pub(super) struct Directory(pub(super) Mutex<Tenants>);

impl TenantDirectory for Directory {
    fn find(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.lock().find(id).cloned()
    }

    fn all(&self) -> Vec<Arc<Tenant>> {
        self.0.lock().iter().cloned().collect()
    }

    fn by_claim(&self, issuer: &str, value: &str) -> Option<Arc<Tenant>> {
        self.0.lock().by_claim(issuer, value).cloned()
    }
}

pub(super) fn tenant(id: &str, issuer: &str, value: &str) -> Tenant {
    let one = NonZeroU32::MIN;
    Tenant {
        id: id.parse().unwrap(),
        issuers: vec![issuer.into()],
        claim_values: vec![value.into()],
        suspended: false,
        limits: Limits { per_second: one, burst: one, max_in_flight: one },
        accounts: Vec::new(),
        rules: Vec::new(),
    }
}

/// A verifier with one issuer whose keys are in a file.
pub(super) struct Bench {
    pub(super) authn: JwtAuthn,
    pub(super) clock: Arc<TestClock>,
    pub(super) directory: Arc<Directory>,
    pub(super) file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(&all_keys(), |_| {})
    }

    pub(super) fn with(jwks: &Value, change: impl FnOnce(&mut IssuerConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jwks.json");
        std::fs::write(&file, jwks.to_string()).unwrap();
        let mut issuer = issuer(ISSUER);
        issuer.keys = KeySource::JwksFile(file.clone());
        change(&mut issuer);
        let tenants =
            Tenants::new([tenant("payments", ISSUER, "payments"), tenant("search", "other", "search")]);
        let directory = Arc::new(Directory(Mutex::new(tenants.unwrap())));
        let clock = Arc::new(TestClock(AtomicI64::new(NOW)));
        let authn =
            JwtAuthn::new(Config::new(vec![issuer]), Arc::clone(&directory) as _, Arc::clone(&clock) as _)
                .unwrap();
        Self { authn, clock, directory, file, _dir: dir }
    }

    pub(super) async fn authenticate(&self, token: &str) -> Result<Arc<Principal>, AuthnError> {
        self.authn.authenticate(token, None).await
    }

    pub(super) async fn authenticate_with_certificate(
        &self,
        token: &str,
        certificate: [u8; 32],
    ) -> Result<Arc<Principal>, AuthnError> {
        self.authn.authenticate(token, Some(&CertificateThumbprint(certificate))).await
    }

    /// Why the token is rejected, as the audit log records it; `accepted` if it is not.
    pub(super) async fn reason(&self, token: &str) -> &'static str {
        reason(self.authenticate(token).await)
    }
}

pub(super) fn reason(answer: Result<Arc<Principal>, AuthnError>) -> &'static str {
    match answer {
        Ok(_) => "accepted",
        Err(AuthnError::Refused { reason, .. }) => reason,
        Err(AuthnError::Expired { .. }) => "expired",
        Err(AuthnError::Unavailable { .. }) => "unavailable",
    }
}

pub(super) fn issuer(name: &str) -> IssuerConfig {
    let mut issuer = IssuerConfig::new(name, AUDIENCE, "tenant".parse().unwrap(), "scope".parse().unwrap());
    issuer.algorithms = Algorithm::ALL.to_vec();
    issuer
}
