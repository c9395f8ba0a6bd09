//! Tokens in the exact formats of Kubernetes and SPIFFE, which only need the right settings.

use serde_json::{Value, json};

use super::token_builder::*;
use crate::domain::tenant::Tenants;

fn token_of(claims: Value) -> String {
    signed(&RSA, &json!({"alg": "RS256", "kid": "rsa"}).to_string(), &claims.to_string())
}

/// The claims of a token from `kubectl create token`.
fn service_account(namespace: &str) -> Value {
    json!({
        "aud": [AUDIENCE],
        "exp": NOW + 3600,
        "iat": NOW,
        "iss": ISSUER,
        "jti": "5e3a8b1c-6a0e-4e0e-9d5c-3d1f6c1b2a90",
        "kubernetes.io": {
            "namespace": namespace,
            "node": {"name": "ip-10-0-1-7", "uid": "0f9c7a52-93a4-4a6c-8a3c-1f8f6a5d2a10"},
            "pod": {"name": "deployer-7d9c", "uid": "a2f7d1d3-2e1b-4f39-8d6b-6a3f5b0c9e11"},
            "serviceaccount": {"name": "deployer", "uid": "c1c8b2f4-7f0e-4a54-9a44-0f5f2f6b8d12"},
            "warnafter": NOW + 3607,
        },
        "nbf": NOW,
        "sub": format!("system:serviceaccount:{namespace}:deployer"),
    })
}

/// The claims of a token from SPIRE with `jwt_issuer` set.
fn svid(id: &str) -> Value {
    json!({"aud": [AUDIENCE], "exp": NOW + 300, "iat": NOW, "iss": ISSUER, "sub": id})
}

#[tokio::test]
async fn a_kubernetes_service_account_maps_to_the_tenant_of_its_namespace() {
    let bench = Bench::with(&all_keys(), |issuer| {
        issuer.tenant_claim = r#""kubernetes.io".namespace"#.parse().unwrap();
        issuer.default_scopes = vec!["logkey:read".into(), "logkey:associate".into()];
    });
    let principal = bench.authenticate(&token_of(service_account("payments"))).await.unwrap();
    assert_eq!(principal.tenant.as_str(), "payments");
    assert_eq!(&*principal.subject, "system:serviceaccount:payments:deployer");
    assert_eq!(principal.scopes.iter().count(), 2);
    assert_eq!(
        bench.reason(&token_of(service_account("kube-system"))).await,
        "no tenant for the tenant claim"
    );
}

#[tokio::test]
async fn a_kubernetes_service_account_can_map_by_its_subject() {
    let bench = Bench::with(&all_keys(), |issuer| {
        issuer.tenant_claim = "sub".parse().unwrap();
        issuer.tenant_claim_pattern = Some("system:serviceaccount:{tenant}:deployer".parse().unwrap());
    });
    assert_eq!(bench.reason(&token_of(service_account("payments"))).await, "accepted");
    let other = with(service_account("payments"), json!({"sub": "system:serviceaccount:payments:default"}));
    assert_eq!(bench.reason(&token_of(other)).await, "tenant claim missing or malformed");
}

#[tokio::test]
async fn a_spiffe_id_maps_to_the_tenant_in_its_path() {
    let bundle =
        json!({"keys": [RSA.jwk_with(json!({"kid": "rsa", "use": "jwt-svid"}))], "spiffe_sequence": 1});
    let bench = Bench::with(&bundle, |issuer| {
        issuer.tenant_claim = "sub".parse().unwrap();
        issuer.tenant_claim_pattern = Some("spiffe://prod.test/tenant/{tenant}/*".parse().unwrap());
        issuer.require_nbf = false;
    });
    let principal =
        bench.authenticate(&token_of(svid("spiffe://prod.test/tenant/payments/api"))).await.unwrap();
    assert_eq!(principal.tenant.as_str(), "payments");
    assert!(principal.scopes.iter().next().is_none(), "only the settings can give it a scope");
    for other in ["spiffe://other.test/tenant/payments/api", "spiffe://prod.test/tenant/payments", "payments"]
    {
        assert_eq!(
            bench.reason(&token_of(svid(other))).await,
            "tenant claim missing or malformed",
            "{other}"
        );
    }
}

#[tokio::test]
async fn a_spiffe_key_for_x509_does_not_verify_tokens() {
    let bundle = json!({"keys": [RSA.jwk_with(json!({"kid": "rsa", "use": "x509-svid"}))]});
    let bench = Bench::with(&bundle, |issuer| issuer.require_nbf = false);
    assert_eq!(bench.reason(&token_of(svid("spiffe://prod.test/tenant/payments/api"))).await, "key unknown");
}

#[tokio::test]
async fn default_scopes_do_not_apply_to_a_token_with_a_scope_claim() {
    let bench = Bench::with(&all_keys(), |issuer| issuer.default_scopes = vec!["logkey:read".into()]);
    let empty = bench.authenticate(&token(json!({}), json!({"scope": ""}))).await.unwrap();
    assert!(empty.scopes.iter().next().is_none());
    let absent = bench.authenticate(&token(json!({}), json!({"scope": null}))).await.unwrap();
    assert_eq!(absent.scopes.iter().collect::<Vec<_>>(), ["logkey:read"]);
}

#[tokio::test]
async fn two_issuers_with_the_same_key_id_are_isolated() {
    let bench = Bench::new();
    *bench.directory.0.lock() = Tenants::new([
        tenant("payments", ISSUER, "payments"),
        tenant("search", "https://two.test", "search"),
    ])
    .unwrap();
    let theirs = bench.file.with_file_name("two.json");
    std::fs::write(&theirs, json!({"keys": [P384.jwk_with(json!({"kid": "p256"}))]}).to_string()).unwrap();
    let mut two = issuer("https://two.test");
    two.keys = super::super::KeySource::JwksFile(theirs);
    let mut one = issuer(ISSUER);
    one.keys = super::super::KeySource::JwksFile(bench.file.clone());
    let config = super::super::Config::new(vec![one, two]);
    let authn = bench.authn.with_config(config, std::sync::Arc::clone(&bench.directory) as _).unwrap();
    let authenticate =
        async |token: String| reason(crate::ports::Authenticate::authenticate(&authn, &token, None).await);
    let claims_of_two =
        |more| with(claims(json!({"iss": "https://two.test", "tenant": "search"})), more).to_string();
    let es384 = header(json!({"alg": "ES384"})).to_string();
    assert_eq!(authenticate(token(json!({}), json!({}))).await, "accepted");
    assert_eq!(authenticate(signed(&P384, &es384, &claims_of_two(json!({})))).await, "accepted");
    assert_eq!(
        authenticate(signed(&P384, &es384, &claims_of_two(json!({"iss": ISSUER})))).await,
        "key unknown"
    );
    assert_eq!(
        authenticate(signed(&P256, &header(json!({})).to_string(), &claims_of_two(json!({})))).await,
        "key unknown"
    );
    let claims_other = claims_of_two(json!({"tenant": "payments"}));
    assert_eq!(authenticate(signed(&P384, &es384, &claims_other)).await, "no tenant for the tenant claim");
}
