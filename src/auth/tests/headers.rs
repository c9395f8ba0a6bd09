//! Which headers are accepted and which are rejected.

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    signature::KeyPair as _,
};
use serde_json::{Value, json};

use super::token_builder::*;

#[tokio::test]
async fn a_valid_token_identifies_the_caller() {
    let bench = Bench::new();
    let principal = bench.authenticate(&token(json!({}), json!({}))).await.unwrap();
    assert_eq!(principal.tenant.as_str(), "payments");
    assert_eq!(&*principal.subject, "alice");
    assert_eq!(&*principal.issuer, ISSUER);
    assert_eq!(&*principal.token_id, "t-1");
    assert_eq!(principal.expires.as_secs(), NOW + 600);
    assert_eq!(principal.scopes.iter().collect::<Vec<_>>(), ["logkey:associate", "logkey:read"]);
}

#[tokio::test]
async fn alg_none_is_rejected_in_any_spelling() {
    let bench = Bench::new();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let head = b64(header(json!({"alg": alg})).to_string());
        let body = b64(claims(json!({})).to_string());
        assert_eq!(bench.reason(&format!("{head}.{body}.")).await, "algorithm unknown", "{alg}");
        assert_eq!(bench.reason(&format!("{head}.{body}.AAAA")).await, "algorithm unknown", "{alg}");
    }
}

#[tokio::test]
async fn hmac_tokens_signed_with_the_public_jwk_are_rejected() {
    let bench = Bench::new();
    let public_key = RSA.jwk().to_string();
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public_key.as_bytes());
    for alg in ["HS256", "HS384", "HS512"] {
        let message = format!(
            "{}.{}",
            b64(header(json!({"alg": alg, "kid": "rsa"})).to_string()),
            b64(claims(json!({})).to_string())
        );
        let tag = aws_lc_rs::hmac::sign(&secret, message.as_bytes());
        assert_eq!(bench.reason(&format!("{message}.{}", b64(tag))).await, "algorithm unknown", "{alg}");
    }
}

/// The public key `rsa` as an X.509 `SubjectPublicKeyInfo` in DER.
fn public_der() -> Vec<u8> {
    let Signer::Rsa(key) = &*RSA else { panic!() };
    let der: PublicKeyX509Der<'static> = key.public_key().as_der().unwrap();
    der.as_ref().to_vec()
}

/// Asserts that a token signed with HS256 and this secret is rejected.
async fn assert_hs256_is_rejected(secret: &[u8]) {
    let head = header(json!({"alg": "HS256", "kid": "rsa"})).to_string();
    let message = format!("{}.{}", b64(head), b64(claims(json!({})).to_string()));
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&secret, message.as_bytes());
    let token = format!("{message}.{}", b64(tag));
    assert_eq!(Bench::new().reason(&token).await, "algorithm unknown");
}

#[tokio::test]
async fn hs256_with_the_public_key_in_der_is_rejected() {
    assert_hs256_is_rejected(&public_der()).await;
}

#[tokio::test]
async fn hs256_with_the_public_key_in_pem_is_rejected() {
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", public_der()));
    assert_hs256_is_rejected(pem.as_bytes()).await;
}

#[tokio::test]
async fn unsupported_and_misspelled_algorithms_are_unknown() {
    let bench = Bench::new();
    for alg in
        ["es256", "ES256 ", "ES521", "RS1", "ES256K", "ed25519", "Ed448", "ML-DSA-65", "RSA-OAEP", "dir"]
    {
        assert_eq!(bench.reason(&token(json!({"alg": alg}), json!({}))).await, "algorithm unknown", "{alg}");
    }
}

#[tokio::test]
async fn an_algorithm_that_the_issuer_may_not_use_is_rejected() {
    let bench = Bench::with(&all_keys(), |issuer| issuer.algorithms = vec![super::super::Algorithm::Rs256]);
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "algorithm not allowed for the issuer");
}

/// Asserts that a header with this change is rejected for this reason.
async fn assert_rejected(change: Value, expected: &str) {
    let reason = Bench::new().reason(&token(change.clone(), json!({}))).await;
    assert_eq!(reason, expected, "{change}");
}

const CRITICAL: &str = "header has crit";

#[tokio::test]
async fn crit_is_rejected_even_if_it_lists_known_members() {
    assert_rejected(json!({"crit": ["exp"]}), CRITICAL).await;
    assert_rejected(json!({"crit": ["b64"]}), CRITICAL).await;
}

#[tokio::test]
async fn an_empty_crit_is_rejected() {
    assert_rejected(json!({"crit": []}), CRITICAL).await;
}

#[tokio::test]
async fn a_crit_that_is_not_a_list_is_rejected() {
    for crit in [json!("exp"), json!({}), json!(1), json!(false)] {
        assert_rejected(json!({"crit": crit}), CRITICAL).await;
    }
    let null = header(json!({})).to_string().replacen('{', "{\"crit\":null,", 1);
    let text = signed(&P256, &null, &claims(json!({})).to_string());
    assert_eq!(Bench::new().reason(&text).await, CRITICAL);
}

const OWN_KEY: &str = "header carries its own key";

/// Asserts that a header with the address of a listener is rejected, and that no one connects to it.
async fn assert_no_request(name: &str) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    assert_rejected(json!({name: url}), OWN_KEY).await;
    let accepted_connection =
        std::future::poll_fn(|cx| std::task::Poll::Ready(listener.poll_accept(cx).is_ready())).await;
    assert!(!accepted_connection, "someone connected");
}

#[tokio::test]
async fn a_key_in_the_header_is_not_used() {
    assert_rejected(json!({"jwk": P256.jwk()}), OWN_KEY).await;
    assert_rejected(json!({"jwk": 1}), OWN_KEY).await;
}

#[tokio::test]
async fn the_address_of_a_key_set_in_the_header_is_not_called() {
    assert_no_request("jku").await;
}

#[tokio::test]
async fn the_address_of_a_certificate_in_the_header_is_not_called() {
    assert_no_request("x5u").await;
}

#[tokio::test]
async fn a_certificate_in_the_header_is_not_used() {
    let pair = rcgen::generate_simple_self_signed(["payments".to_owned()]).unwrap();
    let certificate = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair.cert.der());
    assert_rejected(json!({"x5c": [certificate]}), OWN_KEY).await;
}

const NOT_PLAIN: &str = "header requests compression, encryption, nesting or an unencoded payload";

#[tokio::test]
async fn an_unencoded_payload_is_rejected() {
    assert_rejected(json!({"b64": false}), NOT_PLAIN).await;
}

#[tokio::test]
async fn a_compressed_token_is_rejected() {
    assert_rejected(json!({"zip": "DEF"}), NOT_PLAIN).await;
}

#[tokio::test]
async fn a_nested_token_is_rejected() {
    assert_rejected(json!({"cty": "JWT"}), NOT_PLAIN).await;
}

#[tokio::test]
async fn a_header_with_enc_is_rejected() {
    assert_rejected(json!({"enc": "A128GCM"}), NOT_PLAIN).await;
}

#[tokio::test]
async fn a_token_of_five_parts_is_rejected() {
    let good = token(json!({}), json!({}));
    let (head, _) = good.split_once('.').unwrap();
    assert_eq!(Bench::new().reason(&format!("{head}.a.b.c.d")).await, "encrypted");
}

#[tokio::test]
async fn only_the_compact_form_is_accepted() {
    let bench = Bench::new();
    let good = token(json!({}), json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = signed.split_once('.').unwrap();
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        signed.into(),
        format!("{good}."),
        format!(".{good}"),
        format!("{head}..{body}.{signature}"),
        format!("{good}="),
        format!("{head}=.{body}.{signature}"),
        format!(" {good}"),
        format!("{good}\n"),
        good.replace('.', "/"),
        format!(r#"{{"protected":"{head}","payload":"{body}","signature":"{signature}"}}"#),
        "é.é.é".into(),
    ] {
        let reason = bench.reason(&text).await;
        assert!(reason == "not a compact signed token" || reason == "header malformed", "{text}: {reason}");
    }
}

#[tokio::test]
async fn only_the_canonical_base64_spelling_is_accepted() {
    let bench = Bench::new();
    // Of the last character of 64 bytes only two bits count. Another character with these bits is rejected.
    let good = token(json!({}), json!({}));
    assert_eq!(bench.reason(&good).await, "accepted");
    let (rest, last) = good.split_at(good.len() - 1);
    let twin = match last {
        "A" => "B",
        "Q" => "R",
        "g" => "h",
        "w" => "x",
        other => panic!("{other} is not canonical"),
    };
    assert_eq!(bench.reason(&format!("{rest}{twin}")).await, "not a compact signed token");
}

#[tokio::test]
async fn duplicate_header_members_are_rejected() {
    let bench = Bench::new();
    for twice in [
        r#"{"alg":"ES256","kid":"p256","alg":"ES256"}"#,
        r#"{"alg":"none","kid":"p256","alg":"ES256"}"#,
        r#"{"alg":"ES256","kid":"rsa","kid":"p256"}"#,
        r#"{"alg":"ES256","kid":"p256","\u0061lg":"ES256"}"#,
    ] {
        let token = signed(&P256, twice, &claims(json!({})).to_string());
        assert_eq!(bench.reason(&token).await, "header malformed", "{twice}");
    }
}

#[tokio::test]
async fn header_members_of_the_wrong_type_are_rejected() {
    let bench = Bench::new();
    for change in [
        json!({"alg": ["ES256"]}),
        json!({"alg": 1}),
        json!({"kid": 7}),
        json!({"kid": ["p256"]}),
        json!({"typ": 1}),
        json!({"typ": ["JWT"]}),
        json!({"alg": null}),
    ] {
        assert_eq!(bench.reason(&token(change.clone(), json!({}))).await, "header malformed", "{change}");
    }
    for text in ["", "[]", "null", "{", "\"ES256\"", "{}garbage"] {
        assert_eq!(bench.reason(&signed(&P256, text, "{}")).await, "header malformed", "{text}");
    }
}

#[tokio::test]
async fn other_kinds_of_tokens_of_the_same_issuer_are_rejected() {
    let bench = Bench::new();
    for typ in
        ["logout+jwt", "secevent+jwt", "dpop+jwt", "id_token+jwt", "application/logout+jwt", "", "at+jwt2"]
    {
        let reason = bench.reason(&token(json!({"typ": typ}), json!({}))).await;
        assert_eq!(reason, "typ is that of another kind of token", "{typ}");
    }
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "JOSE"] {
        assert_eq!(bench.reason(&token(json!({"typ": typ}), json!({}))).await, "accepted", "{typ}");
    }
    assert_eq!(bench.reason(&token(json!({"typ": null}), json!({}))).await, "accepted");
}

#[tokio::test]
async fn require_at_jwt_rejects_every_other_typ() {
    let bench = Bench::with(&all_keys(), |issuer| issuer.require_at_jwt = true);
    for typ in [json!("JWT"), json!(null)] {
        assert_eq!(bench.reason(&token(json!({"typ": typ}), json!({}))).await, "typ is not at+jwt", "{typ}");
    }
    assert_eq!(bench.reason(&token(json!({"typ": "application/AT+jwt"}), json!({}))).await, "accepted");
}

#[tokio::test]
async fn a_token_over_the_limit_is_rejected() {
    let bench = Bench::new();
    for long in [
        "a".repeat(16 * 1024 + 1),
        "a.".repeat(1024 * 1024),
        token(json!({}), json!({"x": "y".repeat(1024 * 1024)})),
    ] {
        assert_eq!(bench.reason(&long).await, "too long");
    }
    assert_eq!(bench.reason(&token(json!({}), json!({"x": "y".repeat(8 * 1024)}))).await, "accepted");
}
