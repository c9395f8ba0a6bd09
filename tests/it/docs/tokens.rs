//! The issuers of `docs/tokens.md` as they stand there: settings that can be used, and tokens of their kind.

use std::fs;

use serde_json::{Value, json};

use super::root;
use crate::{
    harness::{Caller, ISSUER, PAYMENTS, Plan, reason, tenant},
    tokens::forge::Forge,
};

const LIMITS: &str = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";

/// What stands under this heading.
fn section(heading: &str) -> String {
    let text = fs::read_to_string(root().join("docs/tokens.md")).unwrap();
    let (_, rest) = text.split_once(&format!("### {heading}\n")).unwrap();
    rest.split("\n### ").next().unwrap().to_owned()
}

/// The settings under this heading.
fn settings(heading: &str) -> String {
    let section = section(heading);
    let (_, rest) = section.split_once("```toml\n").unwrap();
    rest.split("```").next().unwrap().to_owned()
}

/// How tokens with these claims are answered under settings whose issuer has the keys of `jwks`: the tenant and
/// the scopes, or the reason of the refusal.
async fn answers(settings: &str, jwks: &Value, forge: &Forge, tokens: &[Value]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.json");
    fs::write(&file, jwks.to_string()).unwrap();
    let at_hand = format!("jwks_file = \"{}\"\n", file.display());
    // Where the page has the keys fetched, they are at hand here.
    let settings = match settings.replace("jwks_file = \"/run/spire/bundle.json\"", at_hand.trim_end()) {
        replaced if replaced == settings => replaced + &at_hand,
        replaced => replaced,
    };
    let issuer = settings.split('"').nth(1).unwrap();
    let tenants = tenant("payments", PAYMENTS, LIMITS).replace(ISSUER, issuer);
    let service = Box::pin(Plan::default().settings(&settings).tenants(&tenants).start()).await;
    let mut answers = Vec::new();
    for claims in tokens {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().insert("iss".to_owned(), json!(issuer));
        let answer = Caller::new(service.channel(), &forge.claiming(claims)).who_am_i().await;
        let shown =
            answer.map(|principal| format!("{}: {}", principal.tenant_id, principal.scopes.join(" ")));
        answers.push(shown.unwrap_or_else(|status| reason(&status)));
    }
    service.stop().await;
    answers
}

#[tokio::test]
async fn the_settings_for_the_usual_issuers_are_good() {
    let forge = Forge::new();
    let plain = json!({"nbf": null, "scope": "logkey:read"});
    let output = answers(&settings("Keycloak, Auth0, Okta, Entra ID"), &forge.jwks(), &forge, &[plain]).await;
    assert_eq!(output, ["payments: logkey:read"]);
}

/// As `kubectl create token` makes it.
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
async fn the_settings_for_kubernetes_take_service_accounts_by_namespace_or_by_subject() {
    let forge = Forge::new();
    let tokens = [("payments", "deployer"), ("payments", "other"), ("kube-system", "deployer")]
        .map(|(namespace, name)| service_account(namespace, name));
    let heading = "Kubernetes service accounts";
    let by_namespace = settings(heading);
    let output = answers(&by_namespace, &forge.jwks(), &forge, &tokens).await;
    let good = "payments: logkey:associate logkey:read";
    assert_eq!(output, [good, good, "TOKEN_INVALID"]);

    // What the page says of a single account.
    let section = section(heading);
    let mut quoted = section.split('`').filter(|text| text.starts_with("tenant_claim"));
    let (claim, pattern) = (quoted.next().unwrap(), quoted.next().unwrap());
    let other = |line: &str| !line.starts_with("tenant_claim");
    let by_subject = by_namespace.lines().filter(|line| other(line)).chain([claim, pattern]);
    let by_subject = by_subject.collect::<Vec<_>>().join("\n") + "\n";
    let output = answers(&by_subject, &forge.jwks(), &forge, &tokens).await;
    assert_eq!(output, [good, "TOKEN_INVALID", "TOKEN_INVALID"]);
}

#[tokio::test]
async fn the_settings_for_spiffe_take_ids_of_a_tenants_path() {
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
    let output = answers(&settings("SPIFFE"), &bundle, &forge, &tokens).await;
    assert_eq!(output, ["payments: logkey:associate logkey:read", "TOKEN_INVALID", "TOKEN_INVALID"]);
}
