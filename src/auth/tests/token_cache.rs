//! Tokens seen before: cheaper, and no more trusted.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{
    super::{Config, IssuerConfig, KeySource, Refresh},
    token_builder::*,
};
use crate::{domain::tenant::Tenants, ports::Authenticate};

#[tokio::test]
async fn a_token_seen_before_is_known_by_its_very_bytes() {
    let bench = Bench::new();
    let good = token(json!({}), json!({}));
    let first = bench.authenticate(&good).await.unwrap();
    let second = bench.authenticate(&good).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second), "it was verified twice");
    let (signed, _) = good.rsplit_once('.').unwrap();
    assert_eq!(bench.reason(&format!("{signed}.{}", b64([1; 64]))).await, "signature does not verify");
}

#[tokio::test]
async fn a_token_seen_before_expires_on_time() {
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
async fn the_tenant_of_a_token_seen_before_is_looked_up_every_time() {
    let bench = Bench::new();
    let good = token(json!({}), json!({}));
    assert_eq!(bench.authenticate(&good).await.unwrap().tenant.as_str(), "payments");
    *bench.directory.0.lock().unwrap() = Tenants::new([tenant("renamed", ISSUER, "payments")]).unwrap();
    assert_eq!(bench.authenticate(&good).await.unwrap().tenant.as_str(), "renamed");
    *bench.directory.0.lock().unwrap() = Tenants::default();
    assert_eq!(bench.reason(&good).await, "no tenant for the tenant claim");
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_stops_its_tokens_within_one_refresh_although_they_were_seen_before() {
    let bench = Bench::new();
    let good = token(json!({}), json!({}));
    assert_eq!(bench.reason(&good).await, "accepted");
    std::fs::write(&bench.file, json!({"keys": [RSA.jwk_with(json!({"kid": "rsa"}))]}).to_string()).unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.reason(&good).await, "key unknown");
}

#[tokio::test(start_paused = true)]
async fn keys_that_did_not_change_keep_the_tokens_seen_before() {
    let bench = Bench::new();
    let good = token(json!({}), json!({}));
    let first = bench.authenticate(&good).await.unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(Arc::ptr_eq(&first, &bench.authenticate(&good).await.unwrap()));
}

#[tokio::test]
async fn only_so_many_tokens_are_remembered() {
    let bench = Bench::new();
    let mut settings = issuer(ISSUER);
    settings.keys = KeySource::JwksFile(bench.file.clone());
    let config = Config { remembered_tokens: 64, ..Config::new(vec![settings]) };
    let authn = bench.authn.with_config(config, Arc::clone(&bench.directory) as _).unwrap();
    let good = token(json!({}), json!({}));
    let first = authn.authenticate(&good, None).await.unwrap();
    for n in 0..1000 {
        authn.authenticate(&token(json!({}), json!({"jti": n.to_string()})), None).await.unwrap();
    }
    assert!(authn.cached_tokens() <= 64, "{}", authn.cached_tokens());
    let again = authn.authenticate(&good, None).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &again), "it was to be forgotten");
}

#[tokio::test]
async fn none_is_remembered_where_none_is_to_be() {
    let bench = Bench::new();
    let mut settings = issuer(ISSUER);
    settings.keys = KeySource::JwksFile(bench.file.clone());
    let config = Config { remembered_tokens: 0, ..Config::new(vec![settings]) };
    let authn = bench.authn.with_config(config, Arc::clone(&bench.directory) as _).unwrap();
    authn.authenticate(&token(json!({}), json!({})), None).await.unwrap();
    assert_eq!(authn.cached_tokens(), 0);
}

#[tokio::test]
async fn tokens_stay_remembered_over_a_reload_only_while_their_issuers_settings_stay() {
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
async fn a_token_seen_before_is_unavailable_once_the_keys_of_its_issuer_are_too_old() {
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
