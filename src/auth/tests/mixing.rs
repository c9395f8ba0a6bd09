//! Two issuers that name their keys alike.

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;

use super::{
    super::{Config, IssuerConfig, JwtAuthn, KeySource},
    mint::*,
};
use crate::{domain::tenant::Tenants, ports::Authenticate};

const OTHER: &str = "https://other.test";

/// A verifier with both, the other one's key, and the folder of its file.
fn two() -> (JwtAuthn, Signer, Bench, tempfile::TempDir) {
    let theirs = Signer::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), "P-256", 32);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.json");
    let keys = ["p256", "theirs"].map(|kid| theirs.jwk_with(json!({"kid": kid})));
    std::fs::write(&file, json!({"keys": keys}).to_string()).unwrap();
    let bench = Bench::new();
    *bench.directory.0.lock().unwrap() =
        Tenants::new([tenant("payments", ISSUER, "payments"), tenant("search", OTHER, "search")]).unwrap();
    let own = IssuerConfig { keys: KeySource::JwksFile(bench.file.clone()), ..issuer(ISSUER) };
    let other = IssuerConfig { keys: KeySource::JwksFile(file), ..issuer(OTHER) };
    let directory = Arc::clone(&bench.directory);
    let authn = bench.authn.reconfigured(Config::new(vec![own, other]), directory as _).unwrap();
    (authn, theirs, bench, folder)
}

async fn why(authn: &JwtAuthn, key: &Signer, kid: &str, iss: &str, tenant: &str) -> &'static str {
    let head = header(json!({"kid": kid})).to_string();
    let body = claims(json!({"iss": iss, "tenant": tenant})).to_string();
    reason(authn.authenticate(&signed(key, &head, &body), None).await)
}

#[tokio::test]
async fn each_key_is_good_for_its_own_issuer_alone_though_both_bear_the_same_id() {
    let (authn, theirs, _bench, _folder) = two();
    assert_eq!(why(&authn, &P256, "p256", ISSUER, "payments").await, "accepted");
    assert_eq!(why(&authn, &theirs, "p256", OTHER, "search").await, "accepted");
    assert_eq!(why(&authn, &theirs, "p256", ISSUER, "payments").await, "signature does not verify");
    assert_eq!(why(&authn, &P256, "p256", OTHER, "search").await, "signature does not verify");
}

#[tokio::test]
async fn a_key_id_that_only_another_issuer_has_is_unknown() {
    let (authn, theirs, _bench, _folder) = two();
    assert_eq!(why(&authn, &theirs, "theirs", OTHER, "search").await, "accepted");
    assert_eq!(why(&authn, &theirs, "theirs", ISSUER, "payments").await, "key unknown");
}

#[tokio::test]
async fn an_issuer_does_not_speak_for_a_tenant_that_names_another() {
    let (authn, theirs, _bench, _folder) = two();
    assert_eq!(why(&authn, &theirs, "p256", OTHER, "payments").await, "no tenant for the tenant claim");
}
