//! Fetching an issuer's keys over HTTP with the real server: how often the service fetches, which responses
//! it accepts, and what happens while the issuer is down. `src/auth/tests` tests the same with a test clock.

mod answers;
mod discovery;
mod floods;
mod https;
mod idp;
mod outages;

use std::time::Duration;

use tokio::time::{sleep, timeout};

use self::idp::Idp;
use crate::{
    harness::{Caller, ISSUER, PAYMENTS, Plan, Service, reason, tenant},
    tokens::forge::Forge,
};

/// The `iss` of the issuer whose keys are fetched, unless the test uses discovery.
const FETCHED_ISSUER: &str = "https://idp.test";
/// Refresh settings with which the service fetches the keys once, at the start.
const ONCE: &str = "every = \"1h\"\ncool_down = \"1h\"\nmax_staleness = \"1h\"\n";

/// A service whose tenant `payments` uses this issuer.
async fn service_of(issuer: &str, keys: &str, refresh: &str) -> Service {
    let limits = "{ per_second = 100000, burst = 100000, max_in_flight = 1000 }";
    let settings = format!(
        "[[auth.issuers]]\nissuer = \"{issuer}\"\naudiences = [\"logkey\"]\n{keys}[auth.issuers.refresh]\n{refresh}"
    );
    let tenants = tenant("payments", PAYMENTS, limits).replace(ISSUER, issuer);
    Box::pin(Plan::default().issuer(&settings).tenants(&tenants).start()).await
}

/// A service that fetches the keys from this path of `idp`.
async fn service_at(idp: &Idp, path: &str, refresh: &str) -> Service {
    service_of(FETCHED_ISSUER, &format!("jwks_uri = \"{}\"\n", idp.url(path)), refresh).await
}

/// The result of a call with this token: `OK`, or the reason of the error.
async fn answer(service: &Service, token: &str) -> String {
    let response = Caller::new(service.channel(), token).who_am_i().await;
    response.map_or_else(|status| reason(&status), |_| "OK".to_owned())
}

/// The result of a call with a new valid token of the issuer.
async fn call_with_new_token(service: &Service, forge: &Forge) -> String {
    answer(service, &forge.token_with_claims(serde_json::json!({"iss": FETCHED_ISSUER}))).await
}

/// Waits until the condition holds.
async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_mins(2), waiting).await.unwrap();
}

/// The readiness text of the admin port.
async fn readiness(service: &Service) -> String {
    reqwest::get(format!("http://{}/readyz", service.admin)).await.unwrap().text().await.unwrap()
}
