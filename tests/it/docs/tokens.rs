//! The issuer settings in `docs/tokens.md` are valid and accept the tokens of those issuers.

use std::fs;

use serde_json::{Value, json};

use super::root;
use crate::{
    harness::{Caller, ISSUER, PAYMENTS, Plan, reason, tenant},
    tokens::forge::Forge,
};

const LIMITS: &str = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";

/// The text under this heading of the page.
fn section(heading: &str) -> String {
    let text = fs::read_to_string(root().join("docs/tokens.md")).unwrap();
    let (_, rest) = text.split_once(&format!("### {heading}\n")).unwrap();
    rest.split("\n### ").next().unwrap().to_owned()
}

/// The TOML settings under this heading.
fn settings(heading: &str) -> String {
    let section = section(heading);
    let (_, rest) = section.split_once("```toml\n").unwrap();
    rest.split("```").next().unwrap().to_owned()
}

/// The results of tokens with these claims under these settings, with the keys of `jwks`: the tenant and the
/// scopes, or the reason of the error.
async fn answers(settings: &str, jwks: &Value, forge: &Forge, tokens: &[Value]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.json");
    fs::write(&file, jwks.to_string()).unwrap();
    let jwks_setting = format!("jwks_file = \"{}\"\n", file.display());
    // The page fetches the keys from the issuer; the test reads them from a file.
    let settings = match settings.replace("jwks_file = \"/run/spire/bundle.json\"", jwks_setting.trim_end()) {
        replaced if replaced == settings => replaced + &jwks_setting,
        replaced => replaced,
    };
    let issuer = settings.split('"').nth(1).unwrap();
    let tenants = tenant("payments", PAYMENTS, LIMITS).replace(ISSUER, issuer);
    let service = Box::pin(Plan::default().settings(&settings).tenants(&tenants).start()).await;
    let mut answers = Vec::new();
    for claims in tokens {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().insert("iss".to_owned(), json!(issuer));
        let answer = Caller::new(service.channel(), &forge.token_with_claims(claims)).who_am_i().await;
        let outcome = answer.map(|response| format!("{}: {}", response.tenant_id, response.scopes.join(" ")));
        answers.push(outcome.unwrap_or_else(|status| reason(&status)));
    }
    service.stop().await;
    answers
}

#[tokio::test]
async fn the_settings_for_common_issuers_work() {
    let forge = Forge::new();
    let plain = json!({"nbf": null, "scope": "logkey:read"});
    let results =
        answers(&settings("Keycloak, Auth0, Okta, Entra ID"), &forge.jwks(), &forge, &[plain]).await;
    assert_eq!(results, ["payments: logkey:read"]);
}

/// The claims of a token from `kubectl create token`.
fn service_account(namespace: &str, name: &str) -> Value {
    json!({
        "tenant": null,
        "scope": null,
        "aud": ["logkey"],
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
        "kubernetes.io": {
            "namespace": namespace,
            "node": {"name": "ip-10-0-1-7", "uid": "0f9c7a52-93a4-4a6c-8a3c-1f8f6a5d2a10"},
            "pod": {"name": "deployer-7d9c", "uid": "a2f7d1d3-2e1b-4f39-8d6b-6a3f5b0c9e11"},
            "serviceaccount": {"name": name, "uid": "c1c8b2f4-7f0e-4a54-9a44-0f5f2f6b8d12"},
        },
    })
}

#[tokio::test]
async fn kubernetes_settings_match_service_accounts_by_namespace_or_subject() {
    let forge = Forge::new();
    let tokens = [("payments", "deployer"), ("payments", "other"), ("kube-system", "deployer")]
        .map(|(namespace, name)| service_account(namespace, name));
    let heading = "Kubernetes service accounts";
    let by_namespace = settings(heading);
    let results = answers(&by_namespace, &forge.jwks(), &forge, &tokens).await;
    let good = "payments: logkey:associate logkey:read";
    assert_eq!(results, [good, good, "TOKEN_INVALID"]);

    // The page also shows the settings for a single service account.
    let section = section(heading);
    let mut quoted = section.split('`').filter(|text| text.starts_with("tenant_claim"));
    let (claim, pattern) = (quoted.next().unwrap(), quoted.next().unwrap());
    let other = |line: &str| !line.starts_with("tenant_claim");
    let by_subject = by_namespace.lines().filter(|line| other(line)).chain([claim, pattern]);
    let by_subject = by_subject.collect::<Vec<_>>().join("\n") + "\n";
    let results = answers(&by_subject, &forge.jwks(), &forge, &tokens).await;
    assert_eq!(results, [good, "TOKEN_INVALID", "TOKEN_INVALID"]);
}

#[tokio::test]
async fn spiffe_settings_accept_ids_below_the_tenant_path() {
    let forge = Forge::new();
    let mut key = forge.public();
    key["use"] = json!("jwt-svid");
    let bundle = json!({"keys": [key], "spiffe_sequence": 1, "spiffe_refresh_hint": 300});
    let svid = |sub: &str| json!({"tenant": null, "scope": null, "nbf": null, "aud": ["logkey"], "sub": sub});
    let tokens = [
        svid("spiffe://prod.example.org/tenant/payments/api"),
        svid("spiffe://other.example.org/tenant/payments/api"),
        svid("spiffe://prod.example.org/tenant/payments"),
    ];
    let results = answers(&settings("SPIFFE"), &bundle, &forge, &tokens).await;
    assert_eq!(results, ["payments: logkey:associate logkey:read", "TOKEN_INVALID", "TOKEN_INVALID"]);
}
