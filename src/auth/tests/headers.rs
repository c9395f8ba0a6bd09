//! What the header may and may not say.

use serde_json::json;

use super::mint::*;

#[tokio::test]
async fn a_good_token_is_accepted_and_says_who_calls() {
    let bench = Bench::new();
    let who = bench.ask(&token(json!({}), json!({}))).await.unwrap();
    assert_eq!(who.tenant.as_str(), "payments");
    assert_eq!(&*who.subject, "alice");
    assert_eq!(&*who.issuer, ISSUER);
    assert_eq!(&*who.token_id, "t-1");
    assert_eq!(who.expires.as_secs(), NOW + 600);
    assert_eq!(who.scopes.iter().collect::<Vec<_>>(), ["logkey:associate", "logkey:read"]);
}

#[tokio::test]
async fn none_is_no_algorithm_in_any_case_with_or_without_a_signature() {
    let bench = Bench::new();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let head = b64(header(json!({"alg": alg})).to_string());
        let body = b64(claims(json!({})).to_string());
        assert_eq!(bench.why(&format!("{head}.{body}.")).await, "algorithm unknown", "{alg}");
        assert_eq!(bench.why(&format!("{head}.{body}.AAAA")).await, "algorithm unknown", "{alg}");
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
        assert_eq!(bench.why(&format!("{message}.{}", b64(tag))).await, "algorithm unknown", "{alg}");
    }
}

#[tokio::test]
async fn algorithms_in_another_spelling_are_unknown() {
    let bench = Bench::new();
    for alg in ["es256", "ES256 ", "ES512", "RS384", "RS512", "PS384", "ES256K", "Ed25519", "RSA-OAEP", "dir"]
    {
        assert_eq!(bench.why(&token(json!({"alg": alg}), json!({}))).await, "algorithm unknown", "{alg}");
    }
}

#[tokio::test]
async fn an_algorithm_the_issuer_does_not_use_is_refused_although_its_key_would_verify() {
    let bench = Bench::with(&all_keys(), |issuer| issuer.algorithms = vec![super::super::Algorithm::Rs256]);
    assert_eq!(bench.why(&token(json!({}), json!({}))).await, "algorithm not allowed for the issuer");
}

#[tokio::test]
async fn crit_is_always_refused_empty_and_malformed_too() {
    let bench = Bench::new();
    for crit in [json!([]), json!(["exp"]), json!(["b64"]), json!("exp"), json!({}), json!(1), json!(false)] {
        assert_eq!(bench.why(&token(json!({"crit": crit}), json!({}))).await, "header has crit", "{crit}");
    }
    let null = header(json!({})).to_string().replacen('{', "{\"crit\":null,", 1);
    assert_eq!(bench.why(&signed(&P256, &null, &claims(json!({})).to_string())).await, "header has crit");
}

#[tokio::test]
async fn a_header_that_brings_a_key_or_an_address_is_refused_and_nobody_is_asked() {
    let bench = Bench::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    for (name, value) in [
        ("jwk", P256.jwk()),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!(["MIIB"])),
        ("jwk", json!(1)),
    ] {
        let token = token(json!({name: value}), json!({}));
        assert_eq!(bench.why(&token).await, "header brings its own key", "{name}");
    }
    let asked = std::future::poll_fn(|cx| std::task::Poll::Ready(listener.poll_accept(cx).is_ready())).await;
    assert!(!asked, "someone connected");
}

#[tokio::test]
async fn unencoded_compressed_nested_and_encrypted_tokens_are_refused() {
    let bench = Bench::new();
    for (name, value) in
        [("b64", json!(false)), ("zip", json!("DEF")), ("cty", json!("JWT")), ("enc", json!("A128GCM"))]
    {
        let why = bench.why(&token(json!({name: value}), json!({}))).await;
        assert_eq!(why, "header asks for compression, encryption, nesting or an unencoded payload", "{name}");
    }
    let good = token(json!({}), json!({}));
    let (head, _) = good.split_once('.').unwrap();
    assert_eq!(bench.why(&format!("{head}.a.b.c.d")).await, "encrypted");
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
        let why = bench.why(&text).await;
        assert!(why == "not a compact signed token" || why == "header malformed", "{text}: {why}");
    }
}

#[tokio::test]
async fn base64_that_can_be_written_in_two_ways_is_read_in_one() {
    let bench = Bench::new();
    // 64 bytes end in a character of which only two bits count: another one with the same bits is refused.
    let good = token(json!({}), json!({}));
    assert_eq!(bench.why(&good).await, "accepted");
    let (rest, last) = good.split_at(good.len() - 1);
    let twin = match last {
        "A" => "B",
        "Q" => "R",
        "g" => "h",
        "w" => "x",
        other => panic!("{other} is not canonical"),
    };
    assert_eq!(bench.why(&format!("{rest}{twin}")).await, "not a compact signed token");
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
        assert_eq!(bench.why(&token).await, "header malformed", "{twice}");
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
        json!({"alg": null}),
    ] {
        assert_eq!(bench.why(&token(change.clone(), json!({}))).await, "header malformed", "{change}");
    }
    for text in ["", "[]", "null", "{", "\"ES256\"", "{}garbage"] {
        assert_eq!(bench.why(&signed(&P256, text, "{}")).await, "header malformed", "{text}");
    }
}

#[tokio::test]
async fn another_kind_of_token_of_the_same_issuer_is_not_taken_for_an_access_token() {
    let bench = Bench::new();
    for typ in
        ["logout+jwt", "secevent+jwt", "dpop+jwt", "id_token+jwt", "application/logout+jwt", "", "at+jwt2"]
    {
        let why = bench.why(&token(json!({"typ": typ}), json!({}))).await;
        assert_eq!(why, "typ is not that of an access token", "{typ}");
    }
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "JOSE"] {
        assert_eq!(bench.why(&token(json!({"typ": typ}), json!({}))).await, "accepted", "{typ}");
    }
    assert_eq!(bench.why(&token(json!({"typ": null}), json!({}))).await, "accepted");
}

#[tokio::test]
async fn an_issuer_can_be_held_to_typ_at_jwt() {
    let bench = Bench::with(&all_keys(), |issuer| issuer.require_at_jwt = true);
    for typ in [json!("JWT"), json!(null)] {
        assert_eq!(bench.why(&token(json!({"typ": typ}), json!({}))).await, "typ is not at+jwt", "{typ}");
    }
    assert_eq!(bench.why(&token(json!({"typ": "application/AT+jwt"}), json!({}))).await, "accepted");
}

#[tokio::test]
async fn a_token_over_the_limit_is_refused_unread() {
    let bench = Bench::new();
    for long in [
        "a".repeat(16 * 1024 + 1),
        "a.".repeat(1024 * 1024),
        token(json!({}), json!({"x": "y".repeat(1024 * 1024)})),
    ] {
        assert_eq!(bench.why(&long).await, "too long");
    }
    assert_eq!(bench.why(&token(json!({}), json!({"x": "y".repeat(8 * 1024)}))).await, "accepted");
}
