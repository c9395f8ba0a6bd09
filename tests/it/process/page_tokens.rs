//! Page tokens after a restart and while the signing key is rotated.

use logkey::proto::{
    ListAuditEventsRequest, ListAuditEventsResponse, audit_service_client::AuditServiceClient,
};
use tonic::Status;

use super::*;
use crate::harness::{Caller, reason};

/// Starts the service and waits until it is ready.
async fn start(config: &str, admin: SocketAddr) -> KillOnDrop {
    let child = KillOnDrop(serving(Path::new(config)).spawn().unwrap());
    for _ in 0..MAX_POLLS {
        if reqwest::get(format!("http://{admin}/readyz")).await.is_ok_and(|it| it.status().is_success()) {
            return child;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("timed out waiting for the service");
}

fn stop(mut child: KillOnDrop) {
    send_signal(&child, "-TERM");
    assert!(child.wait().unwrap().success());
}

async fn page(caller: &Caller, page_token: &str) -> Result<ListAuditEventsResponse, Status> {
    let request = ListAuditEventsRequest { page_size: 1, page_token: page_token.into(), filter: None };
    let answer = AuditServiceClient::new(caller.channel()).list_audit_events(caller.request(request)).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_page_token_outlives_a_restart_and_a_rotation_of_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let [grpc, admin] = free_addresses().unwrap();
    let issuer = TestIssuer::new("k");
    let config = settings_with(folder.path(), &issuer, grpc, admin);
    let text = std::fs::read_to_string(&config).unwrap();
    let tenants = SettingsText::default().tenant("payments", "").tenant("orders", "").to_string();
    std::fs::write(&config, text + &tenants).unwrap();
    let rotate = |more: &[&str]| {
        let result = output(&[&["audit", "rotate-key", "--config", &config], more].concat());
        assert!(result.status.success(), "{}", text_of(&result));
    };
    let caller = |tenant: &str| {
        let channel = Endpoint::from_shared(format!("http://{grpc}")).unwrap().connect_lazy();
        Caller::new(channel, &issuer.token(tenant, "logkey:audit"))
    };

    let service = start(&config, admin).await;
    let reader = caller("payments");
    let (mut token, mut expected) = (String::new(), Vec::new());
    // Each of these reads is an event, which the service records in the background.
    for _ in 0..MAX_POLLS {
        token = page(&reader, "").await.unwrap().next_page_token;
        expected = if token.is_empty() { Vec::new() } else { page(&reader, &token).await.unwrap().events };
        if expected.len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(expected.len(), 1);
    let mut refusals = Vec::new();
    for foreign in ["AAAA", &"A".repeat(300), &format!("{token}A"), "{}"] {
        refusals.push(page(&reader, foreign).await.unwrap_err());
    }
    refusals.push(page(&caller("orders"), &token).await.unwrap_err());
    for refusal in refusals {
        assert_eq!((refusal.code(), &*reason(&refusal)), (tonic::Code::InvalidArgument, "FIELD_INVALID"));
        assert!(refusal.message().contains("is not the next_page_token of this request"), "{refusal}");
    }
    stop(service);

    let service = start(&config, admin).await;
    assert_eq!(page(&reader, &token).await.unwrap().events, expected, "after a restart");
    stop(service);
    rotate(&[]);
    let service = start(&config, admin).await;
    assert_eq!(page(&reader, &token).await.unwrap().events, expected, "while both keys sign");
    let during = page(&reader, "").await.unwrap();
    let after_it = page(&reader, &during.next_page_token).await.unwrap().events;
    stop(service);
    rotate(&["--end"]);
    let service = start(&config, admin).await;
    assert_eq!(page(&reader, &token).await.unwrap().events, expected, "after the rotation and a restart");
    assert_eq!(page(&reader, &during.next_page_token).await.unwrap().events, after_it);
    stop(service);
    // A whole rotation while the service does not run.
    rotate(&[]);
    rotate(&["--end"]);
    let service = start(&config, admin).await;
    assert_eq!(page(&reader, &token).await.unwrap().events, expected, "after a second rotation");
    stop(service);
}

fn text_of(result: &Output) -> String {
    text(&result.stdout) + &text(&result.stderr)
}
