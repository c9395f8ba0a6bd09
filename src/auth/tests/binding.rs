//! Tokens bound to a client certificate (RFC 8705).

use serde_json::json;

use super::token_builder::*;

const OURS: [u8; 32] = [7; 32];

#[tokio::test]
async fn a_bound_token_is_valid_only_with_its_certificate() {
    let bench = Bench::new();
    let bound = token(json!({}), json!({"cnf": {"x5t#S256": b64(OURS)}}));
    for _cached in [false, true] {
        assert_eq!(reason(bench.authenticate_with_certificate(&bound, OURS).await), "accepted");
        assert_eq!(
            reason(bench.authenticate_with_certificate(&bound, [8; 32]).await),
            "bound to another certificate"
        );
        assert_eq!(bench.reason(&bound).await, "bound to another certificate");
    }
}

#[tokio::test]
async fn an_unbound_token_is_rejected_only_if_the_issuer_requires_binding() {
    let free = token(json!({}), json!({}));
    let bench = Bench::new();
    assert_eq!(bench.reason(&free).await, "accepted");
    assert_eq!(reason(bench.authenticate_with_certificate(&free, OURS).await), "accepted");
    let strict = Bench::with(&all_keys(), |issuer| issuer.require_bound = true);
    assert_eq!(strict.reason(&free).await, "not bound to a certificate");
    assert_eq!(reason(strict.authenticate_with_certificate(&free, OURS).await), "not bound to a certificate");
    let bound = token(json!({}), json!({"cnf": {"x5t#S256": b64(OURS)}}));
    assert_eq!(reason(strict.authenticate_with_certificate(&bound, OURS).await), "accepted");
}

#[tokio::test]
async fn a_token_with_an_unsupported_binding_is_rejected() {
    let bench = Bench::new();
    for cnf in [
        json!({}),
        json!("x"),
        json!([]),
        json!({"jkt": "x"}),
        json!({"jwk": {}}),
        json!({"x5t#S256": 1}),
        json!({"x5t#S256": ""}),
        json!({"x5t#S256": b64([7; 31])}),
        json!({"x5t#S256": format!("{}=", b64(OURS))}),
        json!({"x5t#S256": b64(OURS), "jkt": "x"}),
    ] {
        let token = token(json!({}), json!({"cnf": cnf}));
        let reason = reason(bench.authenticate_with_certificate(&token, OURS).await);
        assert_eq!(reason, "cnf malformed or not supported", "{cnf}");
    }
}
