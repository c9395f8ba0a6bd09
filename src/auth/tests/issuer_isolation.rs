//! Two issuers whose keys have the same ids do not affect each other.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use tokio::time::sleep;

use super::{
    super::{Algorithm, Config, IssuerConfig, JwtAuthn, KeySource},
    token_builder::*,
};
use crate::{domain::tenant::Tenants, ports::Authenticate};

const OTHER: &str = "https://other.test";

/// A verifier with both issuers, the key of the other issuer, and the folder of its key file.
fn two() -> (JwtAuthn, Signer, Bench, tempfile::TempDir) {
    let theirs = Signer::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), "P-256", 32);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.json");
    let keys = ["p256", "theirs"].map(|kid| theirs.jwk_with(json!({"kid": kid})));
    std::fs::write(&file, json!({"keys": keys}).to_string()).unwrap();
    let bench = Bench::new();
    *bench.directory.0.lock() =
        Tenants::new([tenant("payments", ISSUER, "payments"), tenant("search", OTHER, "search")]).unwrap();
    let own = IssuerConfig { keys: KeySource::JwksFile(bench.file.clone()), ..issuer(ISSUER) };
    let other = IssuerConfig { keys: KeySource::JwksFile(file), ..issuer(OTHER) };
    let directory = Arc::clone(&bench.directory);
    let authn = bench.authn.with_config(Config::new(vec![own, other]), directory as _).unwrap();
    (authn, theirs, bench, folder)
}

async fn rejection_of(authn: &JwtAuthn, key: &Signer, kid: &str, iss: &str, tenant: &str) -> &'static str {
    let head = header(json!({"kid": kid})).to_string();
    let body = claims(json!({"iss": iss, "tenant": tenant})).to_string();
    reason(authn.authenticate(&signed(key, &head, &body), None).await)
}

#[tokio::test]
async fn keys_with_the_same_id_verify_only_their_own_issuers_tokens() {
    let (authn, theirs, _bench, _folder) = two();
    assert_eq!(rejection_of(&authn, &P256, "p256", ISSUER, "payments").await, "accepted");
    assert_eq!(rejection_of(&authn, &theirs, "p256", OTHER, "search").await, "accepted");
    assert_eq!(rejection_of(&authn, &theirs, "p256", ISSUER, "payments").await, "signature does not verify");
    assert_eq!(rejection_of(&authn, &P256, "p256", OTHER, "search").await, "signature does not verify");
}

#[tokio::test]
async fn a_key_id_of_another_issuer_is_unknown() {
    let (authn, theirs, _bench, _folder) = two();
    assert_eq!(rejection_of(&authn, &theirs, "theirs", OTHER, "search").await, "accepted");
    assert_eq!(rejection_of(&authn, &theirs, "theirs", ISSUER, "payments").await, "key unknown");
}

#[tokio::test]
async fn an_issuer_cannot_name_a_tenant_of_another_issuer() {
    let (authn, theirs, _bench, _folder) = two();
    assert_eq!(
        rejection_of(&authn, &theirs, "p256", OTHER, "payments").await,
        "no tenant for the tenant claim"
    );
}

#[tokio::test(start_paused = true)]
async fn each_issuer_has_its_own_cool_down() {
    let (authn, theirs, bench, folder) = two();
    let own = async |kid: &str| rejection_of(&authn, &P256, kid, ISSUER, "payments").await;
    let other = async |kid: &str| rejection_of(&authn, &theirs, kid, OTHER, "search").await;
    assert_eq!(own("p256").await, "accepted");
    assert_eq!(other("p256").await, "accepted");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(own("new").await, "key unknown", "the file is read again and the cool-down starts");
    for (file, key) in [(bench.file.clone(), &*P256), (folder.path().join("other.json"), &theirs)] {
        let keys = ["p256", "new"].map(|kid| key.jwk_with(json!({"kid": kid})));
        std::fs::write(file, json!({"keys": keys}).to_string()).unwrap();
    }
    assert_eq!(own("new").await, "key unknown");
    assert_eq!(other("new").await, "accepted");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(own("new").await, "accepted");
}

#[tokio::test]
async fn each_issuer_has_its_own_audience_algorithms_and_claims() {
    let bench = Bench::new();
    *bench.directory.0.lock() =
        Tenants::new([tenant("payments", ISSUER, "payments"), tenant("search", OTHER, "search")]).unwrap();
    let keys = KeySource::JwksFile(bench.file.clone());
    let own = IssuerConfig { keys: keys.clone(), algorithms: vec![Algorithm::Es256], ..issuer(ISSUER) };
    let other = IssuerConfig {
        keys,
        audiences: vec!["broker".into()],
        algorithms: vec![Algorithm::Es384],
        tenant_claim: "team".parse().unwrap(),
        scope_claim: "rights".parse().unwrap(),
        ..issuer(OTHER)
    };
    let directory = Arc::clone(&bench.directory);
    let authn = bench.authn.with_config(Config::new(vec![own, other]), directory as _).unwrap();
    let authenticate = async |key: &Signer, head: serde_json::Value, body: serde_json::Value| {
        reason(authn.authenticate(&signed(key, &head.to_string(), &body.to_string()), None).await)
    };
    let es256 = || header(json!({}));
    let es384 = || header(json!({"alg": "ES384", "kid": "p384"}));
    let theirs = |more| {
        let good = json!({
            "iss": OTHER, "aud": "broker", "tenant": null, "team": "search",
            "scope": null, "rights": "logkey:read",
        });
        with(claims(good), more)
    };
    assert_eq!(authenticate(&P256, es256(), claims(json!({}))).await, "accepted");
    assert_eq!(authenticate(&P384, es384(), theirs(json!({}))).await, "accepted");
    assert_eq!(authenticate(&P384, es384(), claims(json!({}))).await, "algorithm not allowed for the issuer");
    assert_eq!(authenticate(&P256, es256(), theirs(json!({}))).await, "algorithm not allowed for the issuer");
    assert_eq!(
        authenticate(&P256, es256(), claims(json!({"aud": "broker"}))).await,
        "meant for another audience"
    );
    assert_eq!(
        authenticate(&P384, es384(), theirs(json!({"aud": AUDIENCE}))).await,
        "meant for another audience"
    );
    let no_tenant = "tenant claim missing or malformed";
    assert_eq!(
        authenticate(&P256, es256(), claims(json!({"tenant": null, "team": "payments"}))).await,
        no_tenant
    );
    assert_eq!(
        authenticate(&P384, es384(), theirs(json!({"team": null, "tenant": "search"}))).await,
        no_tenant
    );
    for (rights, scopes) in [(json!({}), 1), (json!({"rights": null, "scope": "logkey:read"}), 0)] {
        let body = theirs(rights).to_string();
        let principal = authn.authenticate(&signed(&P384, &es384().to_string(), &body), None).await.unwrap();
        assert_eq!(principal.scopes.iter().count(), scopes);
    }
}
