//! Which published keys are usable.

use serde_json::{Value, json};

use super::{
    super::{Algorithm, KeySet, KeySetError},
    token_builder::*,
};

fn unusable(key: Value) -> String {
    let set = KeySet::decode(json!({"keys": [key, P256.jwk()]}).to_string().as_bytes()).unwrap();
    assert_eq!(set.len(), 1, "the other key is lost");
    assert!(set.find(None, Algorithm::Es256).is_ok(), "the other key is lost");
    set.unusable[0].reason.to_owned()
}

#[test]
fn an_unusable_key_does_not_affect_the_others() {
    let changed = |key: &Signer, change: Value| unusable(key.jwk_with(change));
    assert_eq!(changed(&P256, json!({"use": "enc"})), "not for signatures (use)");
    assert_eq!(changed(&P256, json!({"key_ops": ["encrypt"]})), "not for verifying (key_ops)");
    assert_eq!(changed(&P256, json!({"key_ops": "verify"})), "key_ops is not a list");
    assert_eq!(changed(&P256, json!({"alg": "HS256"})), "for an unsupported algorithm (alg)");
    assert_eq!(changed(&P256, json!({"alg": "RS256"})), "its algorithm (alg) does not match its type (kty)");
    assert_eq!(changed(&P256, json!({"crv": "P-384"})), "a coordinate has the wrong length for its curve");
    assert_eq!(changed(&P256, json!({"crv": "secp256k1"})), "of an unsupported type or curve (kty, crv)");
    assert_eq!(changed(&P256, json!({"kty": 1})), "a member is not a string");
    assert_eq!(changed(&P256, json!({"x": null})), "a parameter is missing");
    assert_eq!(changed(&P256, json!({"x": "!"})), "a parameter is not base64url");
    assert_eq!(changed(&P256, json!({"x": b64([1; 32])})), "not a point on its curve");
    assert_eq!(changed(&P256, json!({"x": b64([0; 32]), "y": b64([0; 32])})), "not a point on its curve");
    assert_eq!(changed(&P256, json!({"d": "AQAB"})), "a private key, with which everyone could sign");
    assert_eq!(changed(&RSA, json!({"e": b64([3])})), "an RSA exponent that is even or below 65537");
    assert_eq!(changed(&RSA, json!({"e": b64([1, 0, 0])})), "an RSA exponent that is even or below 65537");
    assert_eq!(unusable(json!({"kty": "oct", "k": "c2VjcmV0"})), "a shared secret");
    assert_eq!(unusable(json!({})), "of an unsupported type or curve (kty, crv)");
    assert_eq!(unusable(json!("key")), "of an unsupported type or curve (kty, crv)");
}

#[test]
fn rsa_below_2048_bits_is_rejected_even_with_leading_zeros() {
    let bits = |n: Vec<u8>| unusable(json!({"kty": "RSA", "n": b64(n), "e": "AQAB"}));
    let short = "an RSA modulus of less than 2048 or more than 8192 bits";
    assert_eq!(bits(vec![0xff; 128]), short);
    assert_eq!(bits(vec![0xff; 255]), short);
    assert_eq!(bits([vec![0; 200], vec![0xff; 128]].concat()), short);
    assert_eq!(bits([vec![0x7f], vec![0xff; 255]].concat()), short);
    assert_eq!(bits(vec![0xff; 1025]), short);
    assert_eq!(bits(vec![]), short);
}

#[test]
fn a_key_with_duplicate_members_is_skipped() {
    let twice = P256.jwk().to_string().replacen('{', "{\"kty\":\"EC\",", 1);
    let set = KeySet::decode(format!("{{\"keys\":[{twice},{}]}}", RSA.jwk()).as_bytes()).unwrap();
    assert_eq!((set.len(), set.unusable.len()), (2 - 1, 1));
}

#[test]
fn a_document_that_is_not_a_key_set_is_rejected() {
    for text in ["", "{}", "[]", "{\"keys\":1}", "{\"keys\":[],\"keys\":[]}", "{\"keys\":[}", "<html>"] {
        assert!(matches!(KeySet::decode(text.as_bytes()), Err(KeySetError::Malformed(_))), "{text}");
    }
    let many = json!({"keys": vec![json!({}); 513]}).to_string();
    assert!(matches!(KeySet::decode(many.as_bytes()), Err(KeySetError::TooMany)));
    assert!(KeySet::decode(b"{\"keys\":[]}").unwrap().is_empty());
}
