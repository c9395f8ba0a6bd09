//! Keys of an issuer that is asked over HTTP, under the real server: how seldom it is asked, what is taken
//! from it, and what holds while it is down. `src/auth/tests` has the same with time given.

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

/// The `iss` of the issuer that is asked, unless it is found by discovery.
const ASKED: &str = "https://idp.test";
/// Of an issuer that is asked once, at the start.
const ONCE: &str = "every = \"1h\"\ncool_down = \"1h\"\nmax_staleness = \"1h\"\n";

/// A service whose tenant `payments` has its tokens from this issuer.
async fn service_of(issuer: &str, keys: &str, refresh: &str) -> Service {
    let limits = "{ per_second = 100000, burst = 100000, max_in_flight = 1000 }";
    let second = format!(
        "[[auth.issuers]]\nissuer = \"{issuer}\"\naudiences = [\"logkey\"]\n{keys}[auth.issuers.refresh]\n{refresh}"
    );
    let tenants = tenant("payments", PAYMENTS, limits).replace(ISSUER, issuer);
    Box::pin(Plan::default().issuer(&second).tenants(&tenants).start()).await
}

/// The same, with the keys at this path of `idp`.
async fn service_at(idp: &Idp, path: &str, refresh: &str) -> Service {
    service_of(ASKED, &format!("jwks_uri = \"{}\"\n", idp.url(path)), refresh).await
}

/// How a call with this token is answered: `OK`, or the reason of the refusal.
async fn answer(service: &Service, token: &str) -> String {
    let response = Caller::new(service.channel(), token).who_am_i().await;
    response.map_or_else(|status| reason(&status), |_| "OK".to_owned())
}

/// How a call with a good token of the issuer is answered, which nobody saw before.
async fn request_counts(service: &Service, forge: &Forge) -> String {
    answer(service, &forge.claiming(serde_json::json!({"iss": ASKED}))).await
}

/// Waits for what has to come.
async fn until(so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_mins(2), waiting).await.unwrap();
}

/// What the admin port says of readiness.
async fn readiness(service: &Service) -> String {
    reqwest::get(format!("http://{}/readyz", service.admin)).await.unwrap().text().await.unwrap()
}
