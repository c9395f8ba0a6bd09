//! The parsers of input from outside never panic.

use proptest::prelude::*;
use serde_json::json;

use super::{
    super::{CedarPolicy, KeySet, TokenError, header::Header, strict_json},
    token_builder::*,
};

/// Any JSON value, with some values that occur in valid tokens.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|v| json!(v)),
        any::<i64>().prop_map(|v| json!(v)),
        any::<f64>().prop_map(|v| json!(v)),
        "[ -~\u{80}-\u{7ff}]{0,12}".prop_map(|v| json!(v)),
        Just(json!(ISSUER)),
        Just(json!(AUDIENCE)),
        Just(json!("ES256")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|v| json!(v)),
            prop::collection::hash_map("[a-z]{1,6}", inner, 0..4).prop_map(|v| json!(v)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_header_bytes_are_parsed_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Header::parse(&bytes));
        drop(strict_json::object(&bytes));
    }

    #[test]
    fn a_header_with_crit_is_always_rejected(name in "[a-z0-9]{1,6}", more in value(), crit in value()) {
        let text = with(header(json!({name: more})), json!({"crit": [crit]})).to_string();
        prop_assert_eq!(Header::parse(text.as_bytes()).err(), Some(TokenError::Critical));
    }

    #[test]
    fn any_key_set_is_parsed_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        kty in prop_oneof![Just("RSA"), Just("EC"), Just("OKP"), Just("oct")],
        crv in prop_oneof![Just("P-256"), Just("P-384"), Just("Ed25519")],
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 4),
        other in value(),
    ) {
        drop(KeySet::decode(&bytes));
        let [n, e, x, y] = [0, 1, 2, 3].map(|at: usize| &parts[at]);
        let key = json!({"kty": kty, "crv": crv, "n": b64(n), "e": b64(e), "x": b64(x), "y": b64(y), "use": other});
        drop(KeySet::decode(json!({"keys": [key, other]}).to_string().as_bytes()).unwrap());
    }

    #[test]
    fn any_policy_text_loads_or_fails_at_an_existing_line(
        text in prop_oneof![
            ".{0,80}",
            "(permit|forbid|when|unless|principal|action|resource|context|in|is|has|like|[(){};,.=&|<>!\"]| |\n){0,40}",
        ],
    ) {
        let lines = text.split('\n').count();
        for fault in CedarPolicy::check(&[("a.cedar".to_owned(), text.clone())]) {
            prop_assert!((1..=lines).contains(&fault.line), "{fault}: {text:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A token with one claim replaced by any value is either rejected or still names the same tenant and
    /// issuer. Verification never panics.
    #[test]
    fn a_token_with_one_arbitrary_claim_keeps_its_tenant_or_is_rejected(
        name in prop_oneof![
            Just("iss"), Just("aud"), Just("sub"), Just("exp"), Just("nbf"), Just("iat"), Just("jti"),
            Just("tenant"), Just("scope"), Just("cnf"), Just("typ"),
        ],
        other in value(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(async {
            Bench::new().authenticate(&token(json!({}), json!({name: other}))).await
        });
        if let Ok(principal) = answer {
            prop_assert_eq!(principal.tenant.as_str(), "payments");
            prop_assert_eq!(&*principal.issuer, ISSUER);
        }
    }
}
