//! Fetching an issuer's documents over HTTP.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use url::Url;

use super::{
    super::{
        Config, ConfigFault, FetchError, IssuerConfig, JwtAuthn, KeySource, Refresh,
        allowed_url::{is_allowed_url, redirect_error},
        discovery,
        fetch::Http,
    },
    token_builder::*,
};
use crate::ports::Authenticate;

struct Idp {
    base: String,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Idp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Idp {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let state = (base.clone(), Arc::clone(&requests));
        let app = Router::new().route("/{*what}", get(answer)).with_state(state);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, requests, task }
    }

    fn url(&self, path: &str) -> Url {
        format!("{}/{path}", self.base).parse().unwrap()
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, FetchError> {
        Http::default().get(&self.url(path)).await
    }
}

async fn answer(
    State((base, requests)): State<(String, Arc<AtomicUsize>)>,
    Path(what): Path<String>,
) -> Response {
    requests.fetch_add(1, SeqCst);
    let to = |url: String| (StatusCode::FOUND, [(LOCATION, url)]).into_response();
    let document = |issuer: String, keys: String| {
        json!({"issuer": issuer, "jwks_uri": keys}).to_string().into_response()
    };
    let (first, rest) = what.split_once('/').unwrap_or((&what, ""));
    match (first, rest) {
        ("keys", _) => all_keys().to_string().into_response(),
        ("none", _) => json!({"keys": []}).to_string().into_response(),
        ("gone", _) => StatusCode::NOT_FOUND.into_response(),
        ("hops", "0") => to(format!("{base}/keys")),
        ("hops", n) => to(format!("{base}/hops/{}", n.parse::<u32>().unwrap() - 1)),
        ("to-scheme", _) => to("ftp://127.0.0.1/keys".into()),
        ("to-https", _) => to(base.replace("http:", "https:")),
        ("to-link-local", _) => to("http://169.254.169.254/latest/meta-data/".into()),
        ("to-outside", _) => to("http://idp.test/keys".into()),
        ("exact", _) => vec![b'x'; 1024 * 1024].into_response(),
        ("huge", _) => vec![b'x'; 1024 * 1024 + 1].into_response(),
        ("endless", _) => axum::body::Body::from_stream(futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(axum::body::Bytes::from_static(&[b'x'; 8192]))
        }))
        .into_response(),
        ("good" | "other" | "afar" | "inside" | "nonsense", ".well-known/openid-configuration") => {
            match first {
                "good" => document(format!("{base}/good"), format!("{base}/keys")),
                "other" => document(format!("{base}/other/"), format!("{base}/keys")),
                "afar" => document(format!("{base}/afar"), "http://idp.test/keys".into()),
                "inside" => document(format!("{base}/inside"), "https://169.254.169.254/keys".into()),
                _ => "{}".into_response(),
            }
        }
        _ => StatusCode::IM_A_TEAPOT.into_response(),
    }
}

#[tokio::test]
async fn only_a_200_response_within_the_limit_is_accepted() {
    let idp = Idp::start().await;
    assert_eq!(idp.get("keys").await.unwrap(), all_keys().to_string().into_bytes());
    assert_eq!(idp.get("exact").await.unwrap().len(), 1024 * 1024);
    assert!(matches!(idp.get("gone").await, Err(FetchError::Status(StatusCode::NOT_FOUND))));
    assert!(matches!(idp.get("huge").await, Err(FetchError::TooLong)));
    assert!(matches!(idp.get("endless").await, Err(FetchError::TooLong)));
}

#[tokio::test]
async fn five_redirects_are_followed_and_no_sixth() {
    let idp = Idp::start().await;
    assert!(idp.get("hops/4").await.is_ok());
    assert!(matches!(idp.get("hops/5").await, Err(FetchError::Http(_))));
}

#[tokio::test]
async fn redirects_to_forbidden_addresses_are_not_followed() {
    let idp = Idp::start().await;
    for path in ["to-scheme", "to-https", "to-link-local", "to-outside"] {
        let reason = idp.get(path).await.unwrap_err();
        assert!(matches!(&reason, FetchError::Http(reason) if reason.is_redirect()), "{path}: {reason:?}");
    }
}

#[test]
fn only_https_and_loopback_addresses_are_allowed() {
    let is_allowed = |url: &str| is_allowed_url(&url.parse().unwrap());
    for url in [
        "https://idp.test/keys",
        "https://10.0.0.1/",
        "http://127.0.0.1:8080/",
        "http://[::1]/",
        "http://localhost/",
    ] {
        assert!(is_allowed(url), "{url}");
    }
    for url in [
        "http://idp.test/keys",
        "http://localhost.evil.test/",
        "http://127.0.0.1.evil.test/",
        "http://10.0.0.1/",
        "https://169.254.169.254/",
        "https://[fe80::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fd00:ec2::254]/",
        "https://0.0.0.0/",
        "https://[::]/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
    ] {
        assert!(!is_allowed(url), "{url}");
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_a_link_local_address_is_not_called() {
    use reqwest::dns::Resolve;
    let resolve = super::super::allowed_url::LinkLocalFilter;
    assert!(resolve.resolve("127.0.0.1".parse().unwrap()).await.is_ok());
    assert!(resolve.resolve("169.254.169.254".parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_rejected() {
    let idp = Idp::start().await;
    let find = async |name: &str| {
        let issuer = format!("{}/{name}", idp.base);
        let url = idp.url(&format!("{name}/.well-known/openid-configuration"));
        discovery::keys(&Http::default(), &issuer, &url).await
    };
    assert!(find("good").await.is_ok());
    assert!(matches!(find("other").await, Err(FetchError::OtherIssuer)));
    assert!(matches!(find("afar").await, Err(FetchError::Address(_))));
    assert!(matches!(find("inside").await, Err(FetchError::Address(_))));
    assert!(matches!(find("nonsense").await, Err(FetchError::NotDiscovery(Some(_)))));
}

#[tokio::test]
async fn keys_by_address_or_discovery_are_fetched_once_for_many_tokens() {
    let idp = Idp::start().await;
    let name = format!("{}/good", idp.base);
    for (keys, fetches) in [(KeySource::JwksUri(idp.url("keys")), 1), (KeySource::Discovery, 2)] {
        let bench = Bench::new();
        *bench.directory.0.lock() =
            crate::domain::tenant::Tenants::new([tenant("payments", &name, "payments")]).unwrap();
        let before = idp.requests.load(SeqCst);
        let config = Config::new(vec![IssuerConfig { keys, ..issuer(&name) }]);
        let authn = bench.authn.with_config(config, Arc::clone(&bench.directory) as _).unwrap();
        for n in 0..50 {
            let token = token(json!({}), json!({"iss": name, "jti": n.to_string()}));
            assert_eq!(reason(authn.authenticate(&token, None).await), "accepted");
        }
        assert_eq!(idp.requests.load(SeqCst) - before, fetches);
    }
}

/// Sends tokens with different key ids. All must be rejected with `expected` after a single fetch of `path`.
async fn junk_ids_cause_one_fetch(path: &str, tokens: usize, expected: &str) {
    let (idp, bench) = (Idp::start().await, Bench::new());
    let refresh =
        Refresh { every: Duration::from_hours(1), cool_down: Duration::from_hours(1), ..Refresh::default() };
    let settings = IssuerConfig { keys: KeySource::JwksUri(idp.url(path)), refresh, ..issuer(ISSUER) };
    let authn =
        bench.authn.with_config(Config::new(vec![settings]), Arc::clone(&bench.directory) as _).unwrap();
    let (claims, signature) = (b64(claims(json!({})).to_string()), b64([7; 64]));
    for nth in 0..tokens {
        let head = b64(format!("{{\"alg\":\"ES256\",\"kid\":\"junk-{nth}\"}}"));
        let answer = authn.authenticate(&format!("{head}.{claims}.{signature}"), None).await;
        assert_eq!(reason(answer), expected);
    }
    assert_eq!(idp.requests.load(SeqCst), 1);
}

#[tokio::test]
async fn a_hundred_thousand_junk_key_ids_cause_one_fetch() {
    junk_ids_cause_one_fetch("keys", 100_000, "key unknown").await;
}

#[tokio::test]
async fn an_issuer_without_keys_is_called_once_for_a_thousand_tokens() {
    junk_ids_cause_one_fetch("none", 1_000, "key unknown").await;
}

#[tokio::test]
async fn a_failing_issuer_is_called_once_for_a_thousand_tokens() {
    junk_ids_cause_one_fetch("gone", 1_000, "unavailable").await;
}

#[tokio::test]
async fn an_issuer_whose_response_is_too_long_is_called_once() {
    junk_ids_cause_one_fetch("huge", 1_000, "unavailable").await;
}

#[test]
fn unsafe_settings_are_rejected_by_name() {
    let faults = |change: fn(&mut IssuerConfig)| -> Vec<&'static str> {
        let mut settings = issuer(ISSUER);
        change(&mut settings);
        Config::new(vec![settings]).validate().into_iter().map(|fault: ConfigFault| fault.field).collect()
    };
    assert!(faults(|_| {}).is_empty());
    assert_eq!(
        faults(|i| i.keys = KeySource::JwksUri("http://idp.test/keys".parse().unwrap())),
        ["jwks_uri"]
    );
    assert_eq!(faults(|i| i.issuer = "http://idp.test".into()), ["issuer"]);
    assert_eq!(faults(|i| i.issuer = "not a url".into()), ["issuer"]);
    assert_eq!(faults(|i| i.audiences.clear()), ["audiences"]);
    assert_eq!(faults(|i| i.audiences = vec!["".into()]), ["audiences"]);
    assert_eq!(faults(|i| i.algorithms.clear()), ["algorithms"]);
    assert_eq!(faults(|i| i.leeway = Duration::from_mins(6)), ["leeway"]);
    assert_eq!(faults(|i| i.max_lifetime = Some(Duration::ZERO)), ["max_lifetime"]);
    assert_eq!(faults(|i| i.refresh = Refresh { cool_down: Duration::ZERO, ..i.refresh }), ["refresh"]);
    assert_eq!(faults(|i| i.refresh = Refresh { every: Duration::from_hours(7), ..i.refresh }), ["refresh"]);
    let duplicate = Config::new(vec![issuer(ISSUER), issuer(ISSUER)]).validate();
    assert_eq!(duplicate.len(), 1);
    assert_eq!((duplicate[0].index, duplicate[0].field), (1, "issuer"));
}

#[tokio::test]
async fn a_verifier_is_not_built_from_unsafe_settings() {
    let bench = Bench::new();
    let mut settings = issuer(ISSUER);
    settings.audiences.clear();
    let built = JwtAuthn::new(
        Config::new(vec![settings]),
        Arc::clone(&bench.directory) as _,
        Arc::clone(&bench.clock) as _,
    );
    assert_eq!(built.unwrap_err().len(), 1);
}

#[test]
fn a_redirect_keeps_the_scheme_and_leads_only_to_allowed_addresses() {
    let url = |text: &str| text.parse().unwrap();
    let from = [url("https://idp.example.com/jwks.json")];
    assert_eq!(redirect_error(&from, &url("https://keys.example.com/jwks.json")), None);
    for to in
        ["https://169.254.169.254/", "https://[fe80::1]/", "https://[fd00:ec2::254]/", "https://127.0.0.1/"]
    {
        assert_eq!(
            redirect_error(&from, &url(to)),
            Some("redirected to an address that is not allowed"),
            "{to}"
        );
    }
    assert_eq!(redirect_error(&from, &url("http://127.0.0.1/")), Some("redirected to another scheme"));
    let five = vec![url("https://idp.example.com/"); 5];
    assert_eq!(redirect_error(&five, &url("https://idp.example.com/")), None);
    let six = vec![url("https://idp.example.com/"); 6];
    assert_eq!(redirect_error(&six, &url("https://idp.example.com/")), Some("too many redirects"));
}
