//! A bearer token: an accepted token was signed with the issuer's key, and a second JSON parser reads every
//! required claim with the required value.

use std::{num::NonZeroU32, sync::Arc};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use logkey::{
    auth::{Algorithm, Config, IssuerConfig, JwtAuthn, KeySource},
    domain::{
        principal::Principal,
        tenant::{Limits, Tenant, TenantId, Tenants},
        time::Timestamp,
    },
    ports::{Authenticate, Clock, TenantDirectory},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const ISSUER: &str = "https://idp.test";
const AUDIENCE: &str = "logkey";
/// The time of the clock, in seconds.
const NOW: u32 = 1_000_000;
/// How far clocks may differ, in seconds.
const LEEWAY: f64 = 30.0;

struct Bench {
    key: Ed25519KeyPair,
    authn: JwtAuthn,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

struct Directory(Tenants);

struct FixedClock;

thread_local! {
    static BENCH: Bench = Bench::new();
}

/// Authenticates the input as a token, which must fail. If the input has two lines, it also signs the first
/// one as a header and the rest as claims. Returns whether that token was accepted.
pub fn run(data: &[u8]) -> bool {
    BENCH.with(|bench| {
        if let Ok(token) = std::str::from_utf8(data) {
            assert!(bench.authenticate(token).is_none(), "a token that the issuer did not sign was accepted");
        }
        let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return false };
        let (header, claims) = (&data[..end], &data[end + 1..]);
        let signed = [URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims)].join(".");
        let signature = URL_SAFE_NO_PAD.encode(bench.key.sign(signed.as_bytes()));
        let principal = bench.authenticate(&format!("{signed}.{signature}"));
        principal.inspect(|principal| check(principal, header, claims)).is_some()
    })
}

fn check(principal: &Principal, header: &[u8], claims: &[u8]) {
    let header: Value = serde_json::from_slice(header).unwrap();
    assert_eq!(header["alg"], "EdDSA");
    assert!(header.get("crit").is_none() && header.get("b64").is_none());
    let claims: Value = serde_json::from_slice(claims).unwrap();
    assert_eq!(claims["iss"], ISSUER);
    let is_audience = |one: &Value| one.as_str() == Some(AUDIENCE);
    assert!(
        is_audience(&claims["aud"])
            || claims["aud"].as_array().is_some_and(|all| all.iter().any(is_audience))
    );
    assert_eq!(claims["sub"].as_str(), Some(&*principal.subject));
    assert_eq!(claims["tenant"], "payments");
    assert_eq!(principal.tenant.as_str(), "payments");
    let now = f64::from(NOW);
    assert!(claims["exp"].as_f64().is_some_and(|exp| exp > now - LEEWAY));
    assert!(claims["nbf"].as_f64().is_some_and(|nbf| nbf <= now + LEEWAY));
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
        let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "ed", "alg": "EdDSA"}]});
        let file = folder.path().join("jwks.json");
        std::fs::write(&file, keys.to_string()).unwrap();
        let mut issuer =
            IssuerConfig::new(ISSUER, AUDIENCE, "tenant".parse().unwrap(), "scope".parse().unwrap());
        issuer.algorithms = Algorithm::ALL.to_vec();
        issuer.keys = KeySource::JwksFile(file);
        let one = NonZeroU32::MIN;
        let tenant = Tenant {
            id: "payments".parse().unwrap(),
            issuers: vec![ISSUER.into()],
            claim_values: vec!["payments".into()],
            suspended: false,
            limits: Limits { per_second: one, burst: one, max_in_flight: one },
            accounts: Vec::new(),
            rules: Vec::new(),
        };
        let directory = Arc::new(Directory(Tenants::new([tenant]).unwrap()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let authn = {
            let _entered = runtime.enter();
            JwtAuthn::new(Config::new(vec![issuer]), directory, Arc::new(FixedClock)).unwrap()
        };
        Self { key, authn, runtime, _folder: folder }
    }

    fn authenticate(&self, token: &str) -> Option<Arc<Principal>> {
        self.runtime.block_on(self.authn.authenticate(token, None)).ok()
    }
}

impl TenantDirectory for Directory {
    fn find(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.find(id).cloned()
    }

    fn all(&self) -> Vec<Arc<Tenant>> {
        self.0.iter().cloned().collect()
    }

    fn by_claim(&self, issuer: &str, value: &str) -> Option<Arc<Tenant>> {
        self.0.by_claim(issuer, value).cloned()
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(NOW.into())
    }
}
