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

use logkey::proto::{WatchAuditEventsRequest, audit_service_client::AuditServiceClient};
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

#[tokio::test]
async fn a_stream_ends_soon_after_its_key_is_removed() {
    let Stage { service, forge } = Stage::start().await;
    let token = forge.token_with_claims(json!({"scope": "logkey:audit"}));
    let caller = Caller::new(service.channel(), &token);
    let mut client = AuditServiceClient::new(caller.channel());
    let request = caller.request(WatchAuditEventsRequest::default());
    let mut stream = client.watch_audit_events(request).await.unwrap().into_inner();
    let file = service.settings().with_file_name("jwks.json");
    std::fs::write(file, forge::Forge::new().jwks().to_string()).unwrap();
    let end = tokio::time::timeout(Duration::from_mins(1), async {
        loop {
            match stream.message().await {
                Ok(Some(_batch)) => {}
                Ok(None) => panic!("the stream ended without an error"),
                Err(status) => return status,
            }
        }
    });
    let end = end.await.unwrap();
    assert_eq!((end.code(), reason(&end)), (Code::Unauthenticated, "TOKEN_INVALID".into()));
    service.stop().await;
}
