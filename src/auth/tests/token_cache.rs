//! Cached tokens are not verified again, but their times, tenant and keys are still checked.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{
    super::{Config, IssuerConfig, KeySource, Refresh},
    token_builder::*,
};
use crate::{domain::tenant::Tenants, ports::Authenticate};

#[tokio::test]
async fn a_cached_token_must_match_byte_for_byte() {
    let bench = Bench::new();
    let good = token(json!({}), json!({}));
    let first = bench.authenticate(&good).await.unwrap();
    let second = bench.authenticate(&good).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second), "the token was verified twice");
    let (signed, _) = good.rsplit_once('.').unwrap();
    assert_eq!(bench.reason(&format!("{signed}.{}", b64([1; 64]))).await, "signature does not verify");
}

#[tokio::test]
async fn a_cached_token_expires_on_time() {
    let bench = Bench::new();
    let good = token(json!({}), json!({}));
    assert_eq!(bench.reason(&good).await, "accepted");
    bench.clock.set(NOW + 629);
    assert_eq!(bench.reason(&good).await, "accepted");
    bench.clock.set(NOW + 630);
    assert_eq!(bench.reason(&good).await, "expired");
    bench.clock.set(NOW - 1000);
    assert_eq!(bench.reason(&good).await, "not valid yet", "a clock that jumps back");
}

#[tokio::test]
async fn the_tenant_of_a_cached_token_is_looked_up_on_each_use() {
    let bench = Bench::new();
    let good = token(json!({}), json!({}));
    assert_eq!(bench.authenticate(&good).await.unwrap().tenant.as_str(), "payments");
    *bench.directory.0.lock() = Tenants::new([tenant("renamed", ISSUER, "payments")]).unwrap();
    assert_eq!(bench.authenticate(&good).await.unwrap().tenant.as_str(), "renamed");
    *bench.directory.0.lock() = Tenants::default();
    assert_eq!(bench.reason(&good).await, "no tenant for the tenant claim");
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_rejects_cached_tokens_within_one_refresh() {
    let bench = Bench::new();
    let good = token(json!({}), json!({}));
    assert_eq!(bench.reason(&good).await, "accepted");
    std::fs::write(&bench.file, json!({"keys": [RSA.jwk_with(json!({"kid": "rsa"}))]}).to_string()).unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.reason(&good).await, "key unknown");
}

#[tokio::test(start_paused = true)]
async fn tokens_stay_cached_while_the_keys_are_unchanged() {
    let bench = Bench::new();
    let good = token(json!({}), json!({}));
    let first = bench.authenticate(&good).await.unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(Arc::ptr_eq(&first, &bench.authenticate(&good).await.unwrap()));
}

#[tokio::test]
async fn the_token_cache_is_bounded() {
    let bench = Bench::new();
    let mut settings = issuer(ISSUER);
    settings.keys = KeySource::JwksFile(bench.file.clone());
    let config = Config { remembered_tokens: 64, ..Config::new(vec![settings]) };
    let authn = bench.authn.with_config(config, Arc::clone(&bench.directory) as _).unwrap();
    let good = token(json!({}), json!({}));
    authn.authenticate(&good, None).await.unwrap();
    for n in 0..1000 {
        authn.authenticate(&token(json!({}), json!({"jti": n.to_string()})), None).await.unwrap();
    }
    assert!((1..=64).contains(&authn.cached_tokens()), "{}", authn.cached_tokens());
}

#[tokio::test]
async fn large_tokens_of_one_tenant_take_a_quarter_of_the_memory() {
    let bench = Bench::new();
    let scopes = (0..1_800).map(|number| format!("s{number}")).collect::<Vec<_>>().join(" ");
    for n in 0..400 {
        let large = token(json!({}), json!({"jti": n.to_string(), "scope": scopes}));
        assert_eq!(bench.reason(&large).await, "accepted");
    }
    let bytes = bench.authn.cached_token_bytes();
    assert!((1..=super::super::token_cache::CACHE_BYTES / 4).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn a_cache_of_size_zero_stores_no_token() {
    let bench = Bench::new();
    let mut settings = issuer(ISSUER);
    settings.keys = KeySource::JwksFile(bench.file.clone());
    let config = Config { remembered_tokens: 0, ..Config::new(vec![settings]) };
    let authn = bench.authn.with_config(config, Arc::clone(&bench.directory) as _).unwrap();
    authn.authenticate(&token(json!({}), json!({})), None).await.unwrap();
    assert_eq!(authn.cached_tokens(), 0);
}

#[tokio::test]
async fn a_reload_keeps_cached_tokens_only_of_unchanged_issuers() {
    let bench = Bench::new();
    let good = token(json!({}), json!({}));
    let first = bench.authenticate(&good).await.unwrap();
    let mut settings = issuer(ISSUER);
    settings.keys = KeySource::JwksFile(bench.file.clone());
    let reload = |settings: IssuerConfig| {
        bench.authn.with_config(Config::new(vec![settings]), Arc::clone(&bench.directory) as _).unwrap()
    };
    let same = reload(settings.clone());
    assert!(Arc::ptr_eq(&first, &same.authenticate(&good, None).await.unwrap()));
    settings.audiences = vec!["another".into()];
    let other = reload(settings);
    assert_eq!(reason(other.authenticate(&good, None).await), "meant for another audience");
    let none = bench.authn.with_config(Config::new(Vec::new()), Arc::clone(&bench.directory) as _).unwrap();
    assert_eq!(reason(none.authenticate(&good, None).await), "issuer unknown");
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_is_unavailable_once_its_issuers_keys_are_too_old() {
    let bench = Bench::with(&all_keys(), |issuer| {
        issuer.refresh = Refresh { max_staleness: Duration::from_mins(10), ..Refresh::default() };
    });
    let good = token(json!({}), json!({}));
    assert_eq!(bench.reason(&good).await, "accepted");
    std::fs::remove_file(&bench.file).unwrap();
    tokio::time::sleep(Duration::from_mins(9)).await;
    assert!(bench.authn.is_cached(&good));
    assert_eq!(bench.reason(&good).await, "accepted");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(bench.reason(&good).await, "unavailable");
    std::fs::write(&bench.file, all_keys().to_string()).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.reason(&good).await, "accepted");
}
