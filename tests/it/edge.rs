//! What the edge does with callers who do not keep to the protocol, and what it serves without a token.

use std::time::Duration;

use logkey::proto::{GetCallerRequest, tenant_service_client::TenantServiceClient};
use reqwest::{Client, Response, header::HeaderMap};
use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;

use crate::harness::{ALL, Plan, Service, on_group, reason};

const GET_CALLER: &str = "/keyassociation.v1.TenantService/GetCaller";

/// A client that speaks HTTP/2 and knows nothing of gRPC.
fn http2() -> Client {
    let builder = Client::builder().http2_prior_knowledge().timeout(Duration::from_secs(20));
    builder.build().unwrap()
}

async fn post(service: &Service, path: &str, authorization: &[&str], body: Vec<u8>) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    for value in authorization {
        headers.append("authorization", value.parse().unwrap());
    }
    let url = format!("http://{}{path}", service.address);
    http2().post(url).headers(headers).body(body).send().await.unwrap()
}

/// A message in the frame of gRPC: no compression, its length, itself.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}

fn status(response: &Response) -> (String, String) {
    let text = |name: &str| {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    (text("grpc-status"), text("grpc-message"))
}

/// Whether it still answers a good call.
async fn goes_on(service: &Service) {
    service.caller("payments", ALL).who_am_i().await.unwrap();
}

#[tokio::test]
async fn a_body_that_is_no_message_is_refused_clearly_and_the_server_goes_on() {
    let service = Service::start().await;
    let bearer = format!("Bearer {}", service.issuer.token("payments", ALL));
    let path = "/keyassociation.v1.KeyAssociationService/AssociateKmsKey";
    for body in [framed(b"\xff\xff\xff\xff no protobuf"), b"no frame at all".to_vec(), Vec::new()] {
        let response = post(&service, path, &[&bearer], body).await;
        let (code, message) = status(&response);
        assert_eq!(code, "3", "{message}");
        assert!(response.headers().contains_key("x-request-id"));
        assert!(response.headers().contains_key("grpc-status-details-bin"));
    }
    goes_on(&service).await;
    let service = service.restart().await;
    let events = service.events().await;
    let refused = events.iter().filter(|event| event.outcome.as_deref() == Some("FIELD_INVALID"));
    assert_eq!(refused.map(|event| event.count).sum::<u32>(), 3);
    service.stop().await;
}

#[tokio::test]
async fn a_message_of_five_mebibytes_is_refused_and_the_server_goes_on() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let mut message = on_group("/payments/api", "key");
    message.reason = "x".repeat(5 * 1024 * 1024);
    let refused = caller.send(message).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::InvalidArgument, "FIELD_INVALID".into()));
    assert!(refused.message().contains("limit"), "{refused:?}");
    goes_on(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_metadata_block_of_64_kib_is_refused_and_the_server_goes_on() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let mut request = caller.request(on_group("/payments/api", "key"));
    request.metadata_mut().insert("x-padding", "x".repeat(64 * 1024).parse().unwrap());
    let refused = caller.keys().associate_kms_key(request).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::InvalidArgument, "FIELD_INVALID".into()));
    assert!(refused.message().starts_with("metadata is longer"), "{refused:?}");
    goes_on(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn an_unknown_method_or_service_is_unimplemented_in_our_form() {
    let service = Service::start().await;
    let bearer = format!("Bearer {}", service.issuer.token("payments", ALL));
    for path in ["/keyassociation.v1.TenantService/Nothing", "/other.v1.Service/Method"] {
        let response = post(&service, path, &[&bearer], framed(b"")).await;
        let (code, message) = status(&response);
        assert_eq!(code, "12", "{message}");
        assert!(message.contains("method"), "{message}");
        assert!(response.headers().contains_key("grpc-status-details-bin"));
    }
    service.stop().await;
}

#[tokio::test]
async fn no_token_a_bad_one_and_two_of_them_are_refused_alike() {
    let service = Service::start().await;
    let good = format!("Bearer {}", service.issuer.token("payments", ALL));
    for (authorization, expected) in [
        (vec![], "a bearer token is required"),
        (vec!["Bearer garbage"], "the token was not accepted"),
        (vec!["Basic dTpw"], "the token was not accepted"),
        (vec![good.as_str(), good.as_str()], "the token was not accepted"),
    ] {
        let response = post(&service, GET_CALLER, &authorization, framed(b"")).await;
        let (code, message) = status(&response);
        assert_eq!(code, "16");
        assert!(message.replace("%20", " ").starts_with(expected), "{message}");
    }
    goes_on(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn health_is_told_for_each_service_without_a_token() {
    let service = Service::start().await;
    let mut health = HealthClient::new(service.channel());
    for name in ["", "keyassociation.v1.KeyAssociationService", "keyassociation.v1.TenantService"] {
        let request = HealthCheckRequest { service: name.into() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status, 1, "{name:?}");
    }
    let unknown = HealthCheckRequest { service: "nothing".into() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
    service.stop().await;
}

#[tokio::test]
async fn the_request_id_of_a_client_is_kept_and_every_error_names_it() {
    let service = Service::start().await;
    let mut request = Request::new(GetCallerRequest {});
    request.metadata_mut().insert("x-request-id", "ticket-42".parse().unwrap());
    let refused = TenantServiceClient::new(service.channel()).get_caller(request).await.unwrap_err();
    assert_eq!(refused.get_details_request_info().unwrap().request_id, "ticket-42");
    assert_eq!(refused.metadata().get("x-request-id").unwrap(), "ticket-42");
    service.stop().await;
}

#[tokio::test]
async fn a_browser_may_call_by_grpc_web() {
    let service = Service::start().await;
    let bearer = format!("Bearer {}", service.issuer.token("payments", ALL));
    let response = Client::new()
        .post(format!("http://{}{GET_CALLER}", service.address))
        .header("content-type", "application/grpc-web+proto")
        .header("authorization", bearer)
        .body(framed(b""))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc-web+proto");
    let body = response.bytes().await.unwrap();
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("payments") && text.contains("grpc-status:0"), "{text}");
    service.stop().await;
}

#[tokio::test]
async fn the_admin_port_tells_that_the_service_lives_and_is_ready() {
    let service = Service::start().await;
    goes_on(&service).await;
    for path in ["livez", "readyz", "metrics"] {
        let url = format!("http://{}/{path}", service.admin);
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200, "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_makes_the_service_unready_and_its_tokens_unavailable() {
    let unreachable = "[[auth.issuers]]\nissuer = \"https://down.test\"\naudiences = [\"logkey\"]\njwks_uri = \"http://127.0.0.1:9/jwks.json\"\n";
    let service = Plan::default().settings(unreachable).start().await;
    let response = reqwest::get(format!("http://{}/readyz", service.admin)).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.text().await.unwrap().contains("https://down.test"));
    goes_on(&service).await;
    service.stop().await;
}
