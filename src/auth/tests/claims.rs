//! Which claims are accepted and which are rejected.

use serde_json::{Value, json};

use super::token_builder::*;

async fn reason(change: Value) -> &'static str {
    Bench::new().reason(&token(json!({}), change)).await
}

#[tokio::test]
async fn a_missing_or_mistyped_issuer_is_rejected() {
    for iss in
        [json!(null), json!(1), json!([ISSUER]), json!([ISSUER, "https://evil.test"]), json!({"a": ISSUER})]
    {
        assert_eq!(reason(json!({"iss": iss})).await, "iss missing or not a string", "{iss}");
    }
}

#[tokio::test]
async fn an_issuer_must_match_byte_for_byte() {
    for iss in [
        "https://idp.test/",
        "https://IDP.test",
        "http://idp.test",
        "https://evil.test",
        "",
        "https://idp.test ",
    ] {
        assert_eq!(reason(json!({"iss": iss})).await, "issuer unknown", "{iss}");
    }
}

#[tokio::test]
async fn a_missing_or_mistyped_audience_is_rejected() {
    for aud in [
        json!(null),
        json!(1),
        json!([]),
        json!([1]),
        json!([AUDIENCE, 1]),
        json!({"a": 1}),
        json!([[AUDIENCE]]),
        json!(true),
    ] {
        assert_eq!(reason(json!({"aud": aud})).await, "aud missing or malformed", "{aud}");
    }
}

#[tokio::test]
async fn client_id_can_name_the_audience() {
    let bench = Bench::with(&all_keys(), |issuer| {
        issuer.audience_claim = super::super::AudienceClaim::ClientId;
    });
    let reason = async |change: Value| bench.reason(&token(json!({}), change)).await;
    // The form of Cognito's access tokens.
    assert_eq!(reason(json!({"aud": null, "client_id": AUDIENCE, "token_use": "access"})).await, "accepted");
    assert_eq!(reason(json!({"client_id": AUDIENCE})).await, "accepted");
    assert_eq!(reason(json!({"aud": null, "client_id": "other"})).await, "meant for another audience");
    assert_eq!(reason(json!({"client_id": "other"})).await, "meant for another audience");
    // RFC 7519, section 4.1.3.
    assert_eq!(reason(json!({"aud": "other", "client_id": AUDIENCE})).await, "meant for another audience");
    for client in [json!(null), json!(1), json!([AUDIENCE]), json!({})] {
        let change = json!({"aud": null, "client_id": client});
        assert_eq!(reason(change).await, "client_id missing or malformed", "{client}");
    }
    // Without the setting, `aud` is required.
    let change = json!({"aud": null, "client_id": AUDIENCE});
    assert_eq!(Bench::new().reason(&token(json!({}), change)).await, "aud missing or malformed");
}

#[tokio::test]
async fn a_token_for_another_audience_is_rejected() {
    for aud in [
        json!("other"),
        json!(["other", "third"]),
        json!("LOGKEY"),
        json!("logkey2"),
        json!("logkey other"),
        json!(""),
    ] {
        assert_eq!(reason(json!({"aud": aud})).await, "meant for another audience", "{aud}");
    }
}

#[tokio::test]
async fn other_audiences_are_accepted_unless_only_audience_is_set() {
    let shared = token(json!({}), json!({"aud": ["other", AUDIENCE]}));
    assert_eq!(Bench::new().reason(&shared).await, "accepted");
    let strict = Bench::with(&all_keys(), |issuer| issuer.only_audience = true);
    assert_eq!(strict.reason(&shared).await, "meant for other audiences too");
    assert_eq!(strict.reason(&token(json!({}), json!({"aud": [AUDIENCE]}))).await, "accepted");
}

#[tokio::test]
async fn a_missing_or_mistyped_subject_is_rejected() {
    let long = "x".repeat(2049);
    for sub in [
        json!(null),
        json!(""),
        json!(1),
        json!(["alice"]),
        json!({"a": 1}),
        json!("a\nb"),
        json!("a\u{0}"),
        json!(long),
    ] {
        assert_eq!(reason(json!({"sub": sub})).await, "sub missing or malformed", "{sub}");
    }
}

#[tokio::test]
async fn a_missing_or_mistyped_expiry_is_rejected() {
    for exp in [
        json!(null),
        json!("2000000"),
        json!([NOW + 600]),
        json!(-1),
        json!(1e300),
        json!(true),
        json!(i64::MAX),
        json!(u64::MAX),
    ] {
        assert_eq!(reason(json!({"exp": exp})).await, "exp missing or malformed", "{exp}");
    }
}

#[tokio::test]
async fn a_missing_or_mistyped_not_before_is_rejected() {
    for nbf in [json!(null), json!("0"), json!([0]), json!(-1), json!(1e300), json!(false)] {
        assert_eq!(reason(json!({"nbf": nbf})).await, "nbf missing or malformed", "{nbf}");
    }
}

#[tokio::test]
async fn an_optional_nbf_is_still_checked_if_it_is_present() {
    let bench = Bench::with(&all_keys(), |issuer| issuer.require_nbf = false);
    assert_eq!(bench.reason(&token(json!({}), json!({"nbf": null}))).await, "accepted");
    assert_eq!(bench.reason(&token(json!({}), json!({"nbf": NOW + 31}))).await, "not valid yet");
    assert_eq!(bench.reason(&token(json!({}), json!({"nbf": "0"}))).await, "nbf missing or malformed");
}

#[tokio::test]
async fn times_are_checked_to_the_second_with_the_leeway() {
    assert_eq!(reason(json!({"exp": NOW - 29})).await, "accepted");
    assert_eq!(reason(json!({"exp": NOW - 30})).await, "expired");
    assert_eq!(reason(json!({"exp": 0})).await, "expired");
    assert_eq!(reason(json!({"nbf": NOW + 30})).await, "accepted");
    assert_eq!(reason(json!({"nbf": NOW + 31})).await, "not valid yet");
    assert_eq!(reason(json!({"iat": NOW + 30})).await, "accepted");
    assert_eq!(reason(json!({"iat": NOW + 31})).await, "issued in the future");
    assert_eq!(reason(json!({"iat": "now"})).await, "iat missing or malformed");
    assert_eq!(reason(json!({"exp": 1_000_600.75, "nbf": 999_990.5, "iat": null})).await, "accepted");
}

#[tokio::test]
async fn a_token_beyond_the_max_lifetime_is_rejected() {
    let bench =
        Bench::with(&all_keys(), |issuer| issuer.max_lifetime = Some(std::time::Duration::from_mins(10)));
    let lives = |secs: i64| token(json!({}), json!({"iat": NOW, "exp": NOW + secs}));
    assert_eq!(bench.reason(&lives(600)).await, "accepted");
    assert_eq!(bench.reason(&lives(601)).await, "lifetime exceeds max_lifetime of the issuer");
    assert_eq!(bench.reason(&token(json!({}), json!({"iat": null}))).await, "iat missing or malformed");
}

#[tokio::test]
async fn duplicate_claims_are_rejected() {
    let bench = Bench::new();
    let good = claims(json!({})).to_string();
    let head = header(json!({})).to_string();
    for twice in [
        good.replacen('{', "{\"tenant\":\"search\",", 1),
        good.replacen('{', "{\"exp\":1,", 1),
        good.replacen('{', "{\"aud\":\"other\",", 1),
        good.replacen('{', "{\"\\u0069ss\":\"https://evil.test\",", 1),
        good.replacen('{', "{\"x\":{\"a\":1,\"a\":2},", 1),
    ] {
        assert_eq!(bench.reason(&signed(&P256, &head, &twice)).await, "claims malformed", "{twice}");
    }
    for text in ["", "[]", "null", "{", "1", "{}{}"] {
        assert_eq!(bench.reason(&signed(&P256, &head, text)).await, "claims malformed", "{text}");
    }
}

#[tokio::test]
async fn identity_and_logout_tokens_are_not_access_tokens() {
    for change in [
        json!({"at_hash": "x"}),
        json!({"c_hash": "x"}),
        json!({"events": {}}),
        json!({"typ": "ID"}),
        json!({"typ": "Refresh"}),
        json!({"typ": 1}),
        json!({"token_use": "id"}),
    ] {
        assert_eq!(reason(change.clone()).await, "an identity or logout token", "{change}");
    }
    assert_eq!(reason(json!({"typ": "Bearer", "token_use": "access"})).await, "accepted");
}

#[tokio::test]
async fn a_token_needs_a_tenant_that_lists_its_issuer_and_claim_value() {
    for value in [json!(null), json!(1), json!(["payments"]), json!({"payments": 1})] {
        assert_eq!(reason(json!({"tenant": value})).await, "tenant claim missing or malformed", "{value}");
    }
    for value in ["search", "nobody", "", "PAYMENTS", "payments "] {
        assert_eq!(reason(json!({"tenant": value})).await, "no tenant for the tenant claim", "{value}");
    }
}

#[tokio::test]
async fn scopes_are_a_string_or_a_list_of_strings() {
    let bench = Bench::new();
    for (scope, granted) in [
        (json!("logkey:read  logkey:bulk"), vec!["logkey:bulk", "logkey:read"]),
        (json!(["logkey:read"]), vec!["logkey:read"]),
        (json!(["logkey:read logkey:bulk"]), vec!["logkey:read logkey:bulk"]),
        (json!(""), vec![]),
        (json!(null), vec![]),
    ] {
        let principal = bench.authenticate(&token(json!({}), json!({"scope": scope}))).await.unwrap();
        assert_eq!(principal.scopes.iter().collect::<Vec<_>>(), granted, "{scope}");
    }
    for scope in [json!(1), json!({"a": 1}), json!(["a", 1]), json!([["a"]]), json!(true)] {
        assert_eq!(reason(json!({"scope": scope})).await, "scope claim malformed", "{scope}");
    }
}

#[tokio::test]
async fn a_token_id_that_is_not_printable_is_replaced_by_a_hash() {
    let bench = Bench::new();
    for jti in [json!(null), json!(""), json!("a b"), json!("x".repeat(129)), json!("a\u{1b}[0m")] {
        let principal = bench.authenticate(&token(json!({}), json!({"jti": jti}))).await.unwrap();
        assert!(
            principal.token_id.starts_with("sha256:") && principal.token_id.len() == 39,
            "{}",
            principal.token_id
        );
    }
    assert_eq!(reason(json!({"jti": 1})).await, "jti malformed");
}
