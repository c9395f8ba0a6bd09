//! Attacks with tokens on the real server. Each token gets the same error, no call reaches AWS, and only the
//! audit log has the cause. `src/auth/tests` runs the same attacks on the verifier.

mod claims;
pub(crate) mod forge;
mod headers;
mod issuers;
mod kinds;
mod signatures;
mod sizes;
mod stage;
mod times;

use std::time::Duration;

use serde_json::json;
use tonic::Code;

use self::stage::Stage;
use crate::harness::{Caller, reason};

#[tokio::test]
async fn an_expired_token_gets_its_own_reason() {
    let Stage { service, forge } = Stage::start().await;
    let caller = Caller::new(service.channel(), &forge.token_with_claims(json!({"exp": 1, "nbf": 0})));
    let status = caller.who_am_i().await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Unauthenticated, "TOKEN_EXPIRED".into()));
    service.stop().await;
}

#[tokio::test]
async fn a_key_removed_from_the_jwks_file_stops_within_one_refresh() {
    let Stage { service, forge } = Stage::start().await;
    let caller = Caller::new(service.channel(), &forge.token_with_claims(json!({})));
    caller.who_am_i().await.unwrap();
    let file = service.settings().with_file_name("jwks.json");
    std::fs::write(file, forge::Forge::new().jwks().to_string()).unwrap();
    let stopped = tokio::time::timeout(Duration::from_mins(1), async {
        loop {
            if let Err(status) = caller.who_am_i().await {
                return reason(&status);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert_eq!(stopped.await.unwrap(), "TOKEN_INVALID");
    service.stop().await;
}
