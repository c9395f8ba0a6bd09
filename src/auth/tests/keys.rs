//! Which published keys are usable.

use serde_json::{Value, json};

use super::{
    super::{Algorithm, KeySet, KeySetError},
    token_builder::*,
};

fn unusable(key: Value) -> String {
    let set = KeySet::decode(json!({"keys": [key, P256.jwk()]}).to_string().as_bytes()).unwrap();
    assert_eq!(set.len(), 1, "the other key is lost");
    assert!(set.find(None, Algorithm::Es256, true).is_ok(), "the other key is lost");
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
    assert_eq!(changed(&P256, json!({"kid": 1})), "its id (kid) is not a string");
    assert_eq!(changed(&P521, json!({"x": b64([1; 66])})), "not a point on its curve");
    assert_eq!(changed(&P521, json!({"x": b64([1; 65])})), "a coordinate has the wrong length for its curve");
    assert_eq!(
        unusable(json!({"kty": "OKP", "crv": "Ed448", "x": b64([1; 57])})),
        "of an unsupported type or curve (kty, crv)"
    );
    assert_eq!(
        unusable(json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"})),
        "for an unsupported algorithm (alg)"
    );
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

fn decode(keys: &[Value]) -> KeySet {
    KeySet::decode(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

#[test]
fn equal_keys_are_one() {
    let named = |kid: &str| P256.jwk_with(json!({"kid": kid}));
    let twice = decode(&[
        named("a"),
        named("a"),
        RSA.jwk_with(json!({"kid": "r"})),
        RSA.jwk_with(json!({"kid": "r"})),
    ]);
    assert_eq!((twice.len(), twice.repeated, twice.ambiguous.len()), (2, 2, 0));
    assert!(twice.find(Some("a"), Algorithm::Es256, true).is_ok());
    assert!(twice.find(Some("r"), Algorithm::Ps512, true).is_ok());
    // The same key under two ids, and without one, is one key for a token without an id.
    let renamed = decode(&[named("a"), named("b"), P256.jwk()]);
    assert!(renamed.find(None, Algorithm::Es256, true).is_ok());
    // One copy names its algorithm, and the other allows every algorithm of its type.
    let narrow =
        decode(&[RSA.jwk_with(json!({"kid": "r", "alg": "RS256"})), RSA.jwk_with(json!({"kid": "r"}))]);
    assert!(narrow.find(Some("r"), Algorithm::Rs256, true).is_ok());
    assert_eq!(narrow.ambiguous, []);
}

#[test]
fn different_keys_with_one_id_are_reported_and_neither_is_chosen() {
    let other =
        Signer::Rsa(aws_lc_rs::signature::RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap());
    let set = decode(&[
        RSA.jwk_with(json!({"kid": "k"})),
        P256.jwk_with(json!({"kid": "k"})),
        other.jwk_with(json!({"kid": "k"})),
    ]);
    assert_eq!(set.ambiguous[0].reason, "has the id (kid) of a different key for the same algorithm");
    assert_eq!((set.ambiguous.len(), set.ambiguous[0].position), (1, 2));
    assert!(set.find(Some("k"), Algorithm::Rs256, true).is_err());
    assert!(set.find(Some("k"), Algorithm::Es256, true).is_ok(), "the id is unique for this algorithm");
}

#[test]
fn the_only_key_may_lack_an_id_if_the_setting_allows_it() {
    let find = |set: &KeySet, require| set.find(Some("any"), Algorithm::Es256, require).is_ok();
    let only = decode(&[P256.jwk(), RSA.jwk_with(json!({"kid": "r"}))]);
    assert!(find(&only, false) && !find(&only, true));
    let other = P384.jwk();
    assert!(find(&decode(&[P256.jwk(), P256.jwk(), other]), false));
    assert!(!find(&decode(&[P256.jwk(), OTHER_P256.jwk()]), false), "two keys without an id");
    assert!(
        !find(&decode(&[P256.jwk(), OTHER_P256.jwk_with(json!({"kid": "b"}))]), false),
        "a key with another id"
    );
    assert!(!find(&decode(&[P256.jwk_with(json!({"kid": "b"}))]), false), "the only key has another id");
}
