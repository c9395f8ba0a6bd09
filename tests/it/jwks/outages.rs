//! Issuers that are down, and keys that they no longer have.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::timeout;

use super::{ASKED, answer, idp::*, readiness, request_counts, service_at, until};
use crate::tokens::forge::Forge;

const UNAVAILABLE: &str = "IDENTITY_PROVIDER_UNAVAILABLE";
/// The longest that a test waits for what has to come.
const TIMEOUT: Duration = Duration::from_mins(2);
const STALE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn known_keys_outlive_an_issuer_that_is_down_until_they_are_stale_and_come_back_by_themselves() {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Keys(forge.jwks())).await;
    let refresh = format!("every = \"1s\"\ncool_down = \"1s\"\nmax_staleness = \"{}s\"\n", STALE.as_secs());
    let service = service_at(&idp, "keys", &refresh).await;
    assert_eq!(request_counts(&service, &forge).await, "OK");
    until(|| idp.request_count() >= 4).await;
    idp.says(Answer::Fails);
    let (good, mut outlived) = (idp.request_count(), 0);
    let down = async {
        loop {
            let failed = idp.request_count() > good;
            match &*request_counts(&service, &forge).await {
                "OK" => outlived += usize::from(failed),
                other => return (other.to_owned(), Instant::now()),
            }
        }
    };
    let (answer, at) = timeout(TIMEOUT, down).await.unwrap();
    assert_eq!(answer, UNAVAILABLE);
    assert!(outlived > 0, "no call went on while it was down");
    // The last good fetch is the newest of these or the one before it, and began after the one before that.
    let before = idp.times()[good - 3];
    assert!(at - before >= STALE, "given up after {:?}", at - before);
    assert!(readiness(&service).await.contains(ASKED));

    idp.says(Answer::Keys(forge.jwks()));
    let back = async { while request_counts(&service, &forge).await != "OK" {} };
    timeout(TIMEOUT, back).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_start_while_the_issuer_is_down_works_and_its_tokens_are_good_once_it_is_up() {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Fails).await;
    let refresh = "every = \"1s\"\ncool_down = \"1s\"\nmax_staleness = \"1h\"\n";
    let service = service_at(&idp, "keys", refresh).await;
    assert_eq!(request_counts(&service, &forge).await, UNAVAILABLE);
    assert!(readiness(&service).await.contains(ASKED));
    idp.says(Answer::Keys(forge.jwks()));
    let up = async { while request_counts(&service, &forge).await != "OK" {} };
    timeout(TIMEOUT, up).await.unwrap();
    assert_eq!(readiness(&service).await, "ok\n");
    service.stop().await;
}

#[tokio::test]
async fn a_removed_key_stops_within_one_refresh_although_its_tokens_were_seen_before() {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Keys(forge.jwks())).await;
    let refresh = "every = \"1s\"\ncool_down = \"1s\"\nmax_staleness = \"1h\"\n";
    let service = service_at(&idp, "keys", refresh).await;
    let known_token = forge.claiming(json!({"iss": ASKED}));
    for _ in 0..3 {
        assert_eq!(answer(&service, &known_token).await, "OK");
    }
    idp.says(Answer::Keys(Forge::new().jwks()));
    let removed = idp.request_count();
    let stopped = async {
        loop {
            // One more fetch than the one that did not find it: what that brought is in use.
            let refreshed = idp.request_count() >= removed + 2;
            match &*answer(&service, &known_token).await {
                "OK" => assert!(!refreshed, "it is good after a refresh without its key"),
                other => return other.to_owned(),
            }
        }
    };
    assert_eq!(timeout(TIMEOUT, stopped).await.unwrap(), "TOKEN_INVALID");
    service.stop().await;
}
