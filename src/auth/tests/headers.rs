//! What the header may and may not say.

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    signature::KeyPair as _,
};
use serde_json::{Value, json};

use super::token_builder::*;

#[tokio::test]
async fn a_good_token_is_accepted_and_says_who_calls() {
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
async fn none_is_no_algorithm_in_any_case_with_or_without_a_signature() {
    let bench = Bench::new();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let head = b64(header(json!({"alg": alg})).to_string());
        let body = b64(claims(json!({})).to_string());
        assert_eq!(bench.reason(&format!("{head}.{body}.")).await, "algorithm unknown", "{alg}");
        assert_eq!(bench.reason(&format!("{head}.{body}.AAAA")).await, "algorithm unknown", "{alg}");
    }
}

#[tokio::test]
async fn a_shared_secret_never_verifies_not_even_the_public_key_taken_for_one() {
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

/// The public key `rsa` as other programs have it: an X.509 `SubjectPublicKeyInfo` in DER.
fn public_der() -> Vec<u8> {
    let Signer::Rsa(key) = &*RSA else { panic!() };
    let der: PublicKeyX509Der<'static> = key.public_key().as_der().unwrap();
    der.as_ref().to_vec()
}

/// A token signed with HS256 by this secret is refused.
async fn is_no_shared_secret(secret: &[u8]) {
    let head = header(json!({"alg": "HS256", "kid": "rsa"})).to_string();
    let message = format!("{}.{}", b64(head), b64(claims(json!({})).to_string()));
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&secret, message.as_bytes());
    let token = format!("{message}.{}", b64(tag));
    assert_eq!(Bench::new().reason(&token).await, "algorithm unknown");
}

#[tokio::test]
async fn the_public_key_in_der_is_no_shared_secret() {
    is_no_shared_secret(&public_der()).await;
}

#[tokio::test]
async fn the_public_key_in_pem_is_no_shared_secret() {
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", public_der()));
    is_no_shared_secret(pem.as_bytes()).await;
}

#[tokio::test]
async fn algorithms_in_another_spelling_are_unknown() {
    let bench = Bench::new();
    for alg in ["es256", "ES256 ", "ES512", "RS384", "RS512", "PS384", "ES256K", "Ed25519", "RSA-OAEP", "dir"]
    {
        assert_eq!(bench.reason(&token(json!({"alg": alg}), json!({}))).await, "algorithm unknown", "{alg}");
    }
}

#[tokio::test]
async fn an_algorithm_the_issuer_does_not_use_is_refused_although_its_key_would_verify() {
    let bench = Bench::with(&all_keys(), |issuer| issuer.algorithms = vec![super::super::Algorithm::Rs256]);
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "algorithm not allowed for the issuer");
}

/// A header with this in it is refused, and this is why.
async fn is_refused(change: Value, expected: &str) {
    let reason = Bench::new().reason(&token(change.clone(), json!({}))).await;
    assert_eq!(reason, expected, "{change}");
}

const CRITICAL: &str = "header has crit";

#[tokio::test]
async fn crit_is_refused_although_it_names_what_is_understood() {
    is_refused(json!({"crit": ["exp"]}), CRITICAL).await;
    is_refused(json!({"crit": ["b64"]}), CRITICAL).await;
}

#[tokio::test]
async fn an_empty_crit_is_refused() {
    is_refused(json!({"crit": []}), CRITICAL).await;
}

#[tokio::test]
async fn a_crit_that_is_no_list_is_refused() {
    for crit in [json!("exp"), json!({}), json!(1), json!(false)] {
        is_refused(json!({"crit": crit}), CRITICAL).await;
    }
    let null = header(json!({})).to_string().replacen('{', "{\"crit\":null,", 1);
    let text = signed(&P256, &null, &claims(json!({})).to_string());
    assert_eq!(Bench::new().reason(&text).await, CRITICAL);
}

const OWN_KEY: &str = "header brings its own key";

/// A header with the address of someone who listens is refused, and nobody connects there.
async fn asks_nobody(name: &str) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    is_refused(json!({name: url}), OWN_KEY).await;
    let accepted_connection =
        std::future::poll_fn(|cx| std::task::Poll::Ready(listener.poll_accept(cx).is_ready())).await;
    assert!(!accepted_connection, "someone connected");
}

#[tokio::test]
async fn a_key_in_the_header_is_not_used() {
    is_refused(json!({"jwk": P256.jwk()}), OWN_KEY).await;
    is_refused(json!({"jwk": 1}), OWN_KEY).await;
}

#[tokio::test]
async fn the_address_of_a_key_set_in_the_header_is_not_asked() {
    asks_nobody("jku").await;
}

#[tokio::test]
async fn the_address_of_a_certificate_in_the_header_is_not_asked() {
    asks_nobody("x5u").await;
}

#[tokio::test]
async fn a_certificate_in_the_header_is_not_used() {
    let pair = rcgen::generate_simple_self_signed(["payments".to_owned()]).unwrap();
    let certificate = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair.cert.der());
    is_refused(json!({"x5c": [certificate]}), OWN_KEY).await;
}

const NOT_PLAIN: &str = "header asks for compression, encryption, nesting or an unencoded payload";

#[tokio::test]
async fn an_unencoded_payload_is_refused() {
    is_refused(json!({"b64": false}), NOT_PLAIN).await;
}

#[tokio::test]
async fn a_compressed_token_is_refused() {
    is_refused(json!({"zip": "DEF"}), NOT_PLAIN).await;
}

#[tokio::test]
async fn a_token_within_a_token_is_refused() {
    is_refused(json!({"cty": "JWT"}), NOT_PLAIN).await;
}

#[tokio::test]
async fn a_header_that_speaks_of_encryption_is_refused() {
    is_refused(json!({"enc": "A128GCM"}), NOT_PLAIN).await;
}

#[tokio::test]
async fn a_token_of_five_parts_is_refused() {
    let good = token(json!({}), json!({}));
    let (head, _) = good.split_once('.').unwrap();
    assert_eq!(Bench::new().reason(&format!("{head}.a.b.c.d")).await, "encrypted");
}

#[tokio::test]
async fn only_the_compact_form_is_read() {
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
async fn base64_that_can_be_written_in_two_ways_is_read_in_one() {
    let bench = Bench::new();
    // 64 bytes end in a character of which only two bits count: another one with the same bits is refused.
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
async fn header_members_that_stand_twice_are_refused() {
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
async fn header_members_of_another_type_are_refused() {
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
async fn another_kind_of_token_of_the_same_issuer_is_not_taken_for_an_access_token() {
    let bench = Bench::new();
    for typ in
        ["logout+jwt", "secevent+jwt", "dpop+jwt", "id_token+jwt", "application/logout+jwt", "", "at+jwt2"]
    {
        let reason = bench.reason(&token(json!({"typ": typ}), json!({}))).await;
        assert_eq!(reason, "typ is not that of an access token", "{typ}");
    }
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "JOSE"] {
        assert_eq!(bench.reason(&token(json!({"typ": typ}), json!({}))).await, "accepted", "{typ}");
    }
    assert_eq!(bench.reason(&token(json!({"typ": null}), json!({}))).await, "accepted");
}

#[tokio::test]
async fn an_issuer_can_be_held_to_typ_at_jwt() {
    let bench = Bench::with(&all_keys(), |issuer| issuer.require_at_jwt = true);
    for typ in [json!("JWT"), json!(null)] {
        assert_eq!(bench.reason(&token(json!({"typ": typ}), json!({}))).await, "typ is not at+jwt", "{typ}");
    }
    assert_eq!(bench.reason(&token(json!({"typ": "application/AT+jwt"}), json!({}))).await, "accepted");
}

#[tokio::test]
async fn a_token_over_the_limit_is_refused_unread() {
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
