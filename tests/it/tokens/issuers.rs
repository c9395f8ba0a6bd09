//! Two issuers with the same key ids: neither can issue tokens for the other.

use std::time::Duration;

use logkey::proto::{
    AuditEventFilter, ListAuditEventsRequest, WatchAuditEventsRequest,
    audit_service_client::AuditServiceClient,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    forge::{Forge, claims, header},
    stage::Stage,
};
use crate::harness::{ALL, Caller, ISSUER, ORDERS, PAYMENTS, Plan, SettingsText, reason, tenant};

const OTHER: &str = "https://other.test";
const LIMITS: &str = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";

/// A service with two issuers, and the keys of the second one.
struct TwoIssuers {
    stage: Stage,
    other: Forge,
    _folder: TempDir,
}

/// A service with two issuers: `payments` trusts only the default one, `orders` only the other. The other
/// issuer's keys have the same ids, and it has one more key.
async fn service_with_two_issuers() -> TwoIssuers {
    let (one, other) = (Forge::new(), Forge::new());
    let mut keys = other.jwks();
    let mut more = other.public();
    more.as_object_mut().unwrap().insert("kid".into(), json!("theirs"));
    keys.get_mut("keys").unwrap().as_array_mut().unwrap().push(more);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.json");
    std::fs::write(&file, keys.to_string()).unwrap();
    let second = SettingsText::default().issuer(OTHER, &file).to_string();
    let tenants =
        tenant("payments", PAYMENTS, LIMITS) + &tenant("orders", ORDERS, LIMITS).replace(ISSUER, OTHER);
    let plan = Plan::default().issuer(&second).tenants(&tenants).jwks(&one.jwks().to_string());
    let service = Box::pin(plan.start()).await;
    // Each issuer works for its own tenant.
    for (forge, claims) in [(&one, json!({})), (&other, json!({"iss": OTHER, "tenant": "orders"}))] {
        Caller::new(service.channel(), &forge.token_with_claims(claims)).who_am_i().await.unwrap();
    }
    TwoIssuers { stage: Stage { service, forge: one }, other, _folder: folder }
}

fn token(forge: &Forge, head: &Value, body: &Value) -> String {
    forge.signed(&header(head).to_string(), &claims(body).to_string())
}

#[tokio::test]
async fn a_key_with_the_same_id_of_another_issuer_does_not_verify() {
    let TwoIssuers { stage, other, _folder } = service_with_two_issuers().await;
    let mixed = token(&other, &json!({}), &json!({"iss": ISSUER}));
    stage.rejects(&mixed, "signature does not verify").await;
}

#[tokio::test]
async fn a_token_signed_with_the_key_of_another_issuer_is_rejected() {
    let TwoIssuers { stage, other, _folder } = service_with_two_issuers().await;
    let mixed = token(&other, &json!({"kid": "theirs"}), &json!({"iss": ISSUER}));
    stage.rejects(&mixed, "key unknown").await;
}

#[tokio::test]
async fn an_issuer_cannot_issue_tokens_for_a_tenant_without_it() {
    let TwoIssuers { stage, other, _folder } = service_with_two_issuers().await;
    let foreign = token(&other, &json!({}), &json!({"iss": OTHER, "tenant": "payments"}));
    stage.rejects(&foreign, "no tenant for the tenant claim").await;
}

#[tokio::test]
async fn the_issuer_of_a_tenant_cannot_make_an_operator() {
    let TwoIssuers { stage, other, _folder } = service_with_two_issuers().await;
    let everything = format!("{ALL} logkey:audit logkey:bulk logkey:admin");
    let scopes = json!(everything.split(' ').collect::<Vec<_>>());
    for scope in [json!(everything), scopes, json!("logkey:audit  logkey:admin"), json!("logkey:admin")] {
        let body = json!({"iss": OTHER, "tenant": "orders", "scope": scope});
        let caller = Caller::new(stage.service.channel(), &token(&other, &json!({}), &body));
        assert!(!caller.who_am_i().await.unwrap().scopes.contains(&"logkey:admin".to_owned()));
        let filter = || AuditEventFilter { tenant_id: "payments".into(), ..AuditEventFilter::default() };
        let request = ListAuditEventsRequest { filter: Some(filter()), ..ListAuditEventsRequest::default() };
        let mut audit = AuditServiceClient::new(caller.channel());
        match audit.list_audit_events(caller.request(request)).await {
            Ok(page) => assert_eq!(page.into_inner().events, [], "{scope}"),
            Err(status) => assert_eq!(reason(&status), "SCOPE_MISSING", "{scope}"),
        }
        let request = WatchAuditEventsRequest { filter: Some(filter()), after_position: Some(0) };
        if let Ok(stream) = audit.watch_audit_events(caller.request(request)).await {
            let next = tokio::time::timeout(Duration::from_millis(300), stream.into_inner().message()).await;
            if let Ok(Ok(Some(answer))) = next {
                assert_eq!(answer.events, [], "{scope}");
            }
        }
    }
    // The operators' issuer reads the events of every tenant.
    let body = json!({"scope": "logkey:admin"});
    let operator = Caller::new(stage.service.channel(), &token(&stage.forge, &json!({}), &body));
    let filter = AuditEventFilter { tenant_id: "orders".into(), ..AuditEventFilter::default() };
    let request = ListAuditEventsRequest { filter: Some(filter), ..ListAuditEventsRequest::default() };
    let answer =
        AuditServiceClient::new(operator.channel()).list_audit_events(operator.request(request)).await;
    assert!(!answer.unwrap().into_inner().events.is_empty());
}

#[tokio::test]
async fn each_issuer_has_its_own_audience_algorithms_and_claims() {
    let (one, other, folder) = (Forge::new(), Forge::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("other.json");
    std::fs::write(&file, other.jwks().to_string()).unwrap();
    let second = format!(
        "[[auth.issuers]]\nissuer = \"{OTHER}\"\naudiences = [\"broker\"]\nalgorithms = [\"ES384\"]\ntenant_claim = \"team\"\nscope_claim = \"rights\"\njwks_file = \"{}\"\n",
        file.display()
    );
    let tenants =
        tenant("payments", PAYMENTS, LIMITS) + &tenant("orders", ORDERS, LIMITS).replace(ISSUER, OTHER);
    let plan = Plan::default().issuer(&second).tenants(&tenants).jwks(&one.jwks().to_string());
    let service = Box::pin(plan.start()).await;
    let send = async |token: String| {
        let result = Caller::new(service.channel(), &token).who_am_i().await;
        result.map_or_else(
            |status| reason(&status),
            |response| format!("{} {}", response.tenant_id, response.scopes.len()),
        )
    };
    let es256 = |forge: &Forge, body: Value| token(forge, &json!({}), &body);
    let es384 = |forge: &Forge, body: Value| {
        let head = header(&json!({"alg": "ES384", "kid": "p384"})).to_string();
        forge.signed_with_p384(&head, &claims(&body).to_string())
    };
    let theirs = |aud: &str, team: &str, scope: &str| {
        let mut body = json!({"iss": OTHER, "aud": aud, "tenant": null, "scope": null});
        body[team] = json!("orders");
        body[scope] = json!(ALL);
        body
    };

    assert_eq!(send(es256(&one, json!({}))).await, "payments 4");
    assert_eq!(send(es384(&one, json!({}))).await, "TOKEN_INVALID");
    assert_eq!(send(es256(&one, json!({"aud": "broker"}))).await, "TOKEN_INVALID");
    assert_eq!(send(es256(&one, json!({"tenant": null, "team": "payments"}))).await, "TOKEN_INVALID");
    assert_eq!(send(es256(&one, json!({"scope": null, "rights": ALL}))).await, "payments 0");

    assert_eq!(send(es384(&other, theirs("broker", "team", "rights"))).await, "orders 4");
    assert_eq!(send(es256(&other, theirs("broker", "team", "rights"))).await, "TOKEN_INVALID");
    assert_eq!(send(es384(&other, theirs("logkey", "team", "rights"))).await, "TOKEN_INVALID");
    assert_eq!(send(es384(&other, theirs("broker", "tenant", "rights"))).await, "TOKEN_INVALID");
    assert_eq!(send(es384(&other, theirs("broker", "team", "scope"))).await, "orders 0");
    service.stop().await;
}
