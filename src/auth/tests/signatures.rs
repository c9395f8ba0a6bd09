//! Which signatures verify, and with which keys.

use serde_json::json;

use super::token_builder::*;

fn by(key: &Signer, alg: &str, kid: &str) -> String {
    signed(key, &header(json!({"alg": alg, "kid": kid})).to_string(), &claims(json!({})).to_string())
}

#[tokio::test]
async fn each_algorithm_verifies_with_a_matching_key() {
    let bench = Bench::new();
    for (key, alg, kid) in [
        (&*RSA, "RS256", "rsa"),
        (&*RSA, "RS384", "rsa"),
        (&*RSA, "RS512", "rsa"),
        (&*RSA, "PS256", "rsa"),
        (&*RSA, "PS384", "rsa"),
        (&*RSA, "PS512", "rsa"),
        (&*P256, "ES256", "p256"),
        (&*P384, "ES384", "p384"),
        (&*P521, "ES512", "p521"),
        (&*ED, "EdDSA", "ed"),
        // RFC 9864, section 2.2.
        (&*ED, "Ed25519", "ed"),
    ] {
        assert_eq!(bench.reason(&by(key, alg, kid)).await, "accepted", "{alg}");
    }
}

#[tokio::test]
async fn a_key_of_another_algorithm_is_unknown() {
    let bench = Bench::new();
    for alg in ["RS256", "PS256", "ES384", "EdDSA"] {
        assert_eq!(bench.reason(&by(&P256, alg, "p256")).await, "key unknown", "{alg}");
    }
    for alg in ["ES256", "ES384", "EdDSA"] {
        assert_eq!(bench.reason(&by(&RSA, alg, "rsa")).await, "key unknown", "{alg}");
    }
    let bound = json!({"keys": [RSA.jwk_with(json!({"kid": "rsa", "alg": "PS256"}))]});
    let bench = Bench::with(&bound, |_| {});
    assert_eq!(bench.reason(&by(&RSA, "RS256", "rsa")).await, "key unknown");
    assert_eq!(bench.reason(&by(&RSA, "PS256", "rsa")).await, "accepted");
}

#[tokio::test]
async fn a_signature_by_a_key_of_another_curve_is_rejected() {
    let bench = Bench::new();
    assert_eq!(bench.reason(&by(&P384, "ES256", "p256")).await, "signature does not verify");
    assert_eq!(bench.reason(&by(&P384, "ES256", "p384")).await, "key unknown");
}

#[tokio::test]
async fn a_signature_by_another_key_or_over_other_bytes_is_rejected() {
    let bench = Bench::new();
    assert_eq!(bench.reason(&by(&OTHER_P256, "ES256", "p256")).await, "signature does not verify");
    let good = by(&P256, "ES256", "p256");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let forged = b64(claims(json!({"sub": "mallory"})).to_string());
    assert_eq!(bench.reason(&format!("{head}.{forged}.{signature}")).await, "signature does not verify");
    let head = b64(header(json!({"x": 1})).to_string());
    let body = signed.split_once('.').unwrap().1;
    assert_eq!(bench.reason(&format!("{head}.{body}.{signature}")).await, "signature does not verify");
}

/// Asserts that signatures of zeros with these lengths are rejected.
async fn assert_zeros_are_rejected(alg: &str, kid: &str, lengths: &[usize]) {
    let bench = Bench::new();
    let signed = by(&P256, alg, kid);
    let (message, _) = signed.rsplit_once('.').unwrap();
    for len in lengths {
        let zeros = b64(vec![0; *len]);
        assert_eq!(
            bench.reason(&format!("{message}.{zeros}")).await,
            "signature does not verify",
            "{alg} {len}"
        );
    }
}

#[tokio::test]
async fn an_es256_signature_of_r_and_s_zero_is_rejected() {
    assert_zeros_are_rejected("ES256", "p256", &[64]).await;
}

#[tokio::test]
async fn an_es384_signature_of_r_and_s_zero_is_rejected() {
    assert_zeros_are_rejected("ES384", "p384", &[96]).await;
}

#[tokio::test]
async fn an_ed25519_signature_of_zeros_is_rejected() {
    assert_zeros_are_rejected("EdDSA", "ed", &[64]).await;
}

#[tokio::test]
async fn an_rsa_signature_of_zeros_is_rejected() {
    assert_zeros_are_rejected("RS256", "rsa", &[256]).await;
}

#[tokio::test]
async fn an_empty_signature_or_one_of_the_wrong_length_is_rejected() {
    assert_zeros_are_rejected("ES256", "p256", &[0, 1, 32, 63, 65, 70, 96]).await;
    assert_zeros_are_rejected("ES384", "p384", &[64]).await;
    assert_zeros_are_rejected("ES512", "p521", &[0, 64, 131, 132, 133]).await;
    assert_zeros_are_rejected("EdDSA", "ed", &[0]).await;
    assert_zeros_are_rejected("RS256", "rsa", &[0, 255, 257]).await;
}

#[tokio::test]
async fn a_signature_in_der_is_rejected() {
    let Signer::Ec(key, ..) = &*P256 else { panic!() };
    let der = aws_lc_rs::signature::EcdsaKeyPair::from_private_key_der(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        key.to_pkcs8v1().unwrap().as_ref(),
    );
    let der = der.unwrap();
    let good = by(&P256, "ES256", "p256");
    let (message, _) = good.rsplit_once('.').unwrap();
    let signature = der.sign(&aws_lc_rs::rand::SystemRandom::new(), message.as_bytes()).unwrap();
    let text = format!("{message}.{}", b64(signature));
    assert_eq!(Bench::new().reason(&text).await, "signature does not verify");
}

#[tokio::test]
async fn without_a_key_id_exactly_one_key_must_match() {
    let none = |key: &Signer, alg: &str| {
        signed(key, &header(json!({"alg": alg, "kid": null})).to_string(), &claims(json!({})).to_string())
    };
    let bench = Bench::new();
    assert_eq!(bench.reason(&none(&P256, "ES256")).await, "accepted");
    let two = json!({"keys": [P256.jwk_with(json!({"kid": "a"})), OTHER_P256.jwk_with(json!({"kid": "b"}))]});
    let bench = Bench::with(&two, |_| {});
    assert_eq!(bench.reason(&none(&P256, "ES256")).await, "not exactly one key matches");
    assert_eq!(bench.reason(&none(&RSA, "RS256")).await, "not exactly one key matches");
    let nameless = json!({"keys": [P256.jwk()]});
    let bench = Bench::with(&nameless, |_| {});
    assert_eq!(bench.reason(&none(&P256, "ES256")).await, "accepted");
    assert_eq!(bench.reason(&by(&P256, "ES256", "p256")).await, "key unknown");
    let bench = Bench::with(&nameless, |issuer| issuer.require_kid = false);
    assert_eq!(bench.reason(&by(&P256, "ES256", "p256")).await, "accepted");
    assert_eq!(bench.reason(&by(&OTHER_P256, "ES256", "p256")).await, "signature does not verify");
}

#[tokio::test]
async fn two_keys_with_one_id_need_different_algorithms() {
    let separate = json!({"keys": [P256.jwk_with(json!({"kid": "k"})), P384.jwk_with(json!({"kid": "k"}))]});
    let bench = Bench::with(&separate, |_| {});
    assert_eq!(bench.reason(&by(&P256, "ES256", "k")).await, "accepted");
    assert_eq!(bench.reason(&by(&P384, "ES384", "k")).await, "accepted");
    let twice = json!({"keys": [P256.jwk_with(json!({"kid": "k"})), P256.jwk_with(json!({"kid": "k"}))]});
    assert_eq!(Bench::with(&twice, |_| {}).reason(&by(&P256, "ES256", "k")).await, "accepted");
    let same =
        json!({"keys": [P256.jwk_with(json!({"kid": "k"})), OTHER_P256.jwk_with(json!({"kid": "k"}))]});
    assert_eq!(
        Bench::with(&same, |_| {}).reason(&by(&P256, "ES256", "k")).await,
        "not exactly one key matches"
    );
}
