//! How the edge answers calls that violate the protocol, and what it serves without a token.

use std::time::Duration;

use logkey::{
    proto::{
        GetCallerRequest, GetKeyAssociationRequest, get_key_association_request,
        tenant_service_client::TenantServiceClient,
    },
    sandbox::fault::{Effect, Fault},
};
use prost::Message as _;
use reqwest::{Client, Response, header::HeaderMap};
use tokio::time::{sleep, timeout};
use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use tonic_types::StatusExt as _;

use crate::harness::{ALL, GROUP, ORDERS, PAYMENTS, Plan, Service, on_group, reason, tenant};

const GET_CALLER: &str = "/keyassociation.v1.TenantService/GetCaller";
const GET: &str = "/keyassociation.v1.KeyAssociationService/GetKeyAssociation";

/// A plain HTTP/2 client without gRPC.
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

/// A message in a gRPC frame: the compression flag, the length and the message.
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

/// Waits until a `DescribeLogGroups` call for this account reaches AWS.
async fn until_aws_is_called(service: &Service, account: &str) {
    let reached = async {
        while !service.reached("DescribeLogGroups").iter().any(|entry| entry.account == account) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), reached).await.unwrap();
}

/// Asserts that the service still answers a good call.
async fn assert_still_works(service: &Service) {
    service.caller("payments", ALL).who_am_i().await.unwrap();
}

#[tokio::test]
async fn a_body_that_is_not_a_message_is_rejected_and_the_server_works() {
    let service = Service::start().await;
    let bearer = format!("Bearer {}", service.issuer.token("payments", ALL));
    let path = "/keyassociation.v1.KeyAssociationService/AssociateKmsKey";
    for body in [framed(b"\xff\xff\xff\xff no protobuf"), b"no frame at all".to_vec()] {
        let response = post(&service, path, &[&bearer], body).await;
        let (code, message) = status(&response);
        assert_eq!(code, "3", "{message}");
        assert!(response.headers().contains_key("x-request-id"));
        assert!(response.headers().contains_key("grpc-status-details-bin"));
    }
    assert_still_works(&service).await;
    let service = service.restart().await;
    let events = service.events().await;
    let refused = events.iter().filter(|event| event.outcome.as_deref() == Some("FIELD_INVALID"));
    assert_eq!(refused.map(|event| event.count).sum::<u32>(), 2);
    service.stop().await;
}

#[tokio::test]
async fn a_content_type_that_no_protocol_serves_is_415_with_a_sentence() {
    let service = Service::start().await;
    let bearer = format!("Bearer {}", service.issuer.token("payments", ALL));
    let url = format!("http://{}{GET_CALLER}", service.address);
    let http1 = Client::builder().http1_only().build().unwrap();
    for (client, content_type, expected) in [
        (http2(), Some("application/json+x"), 415),
        (http2(), Some("application/grpc+json"), 415),
        (http2(), None, 415),
        (http1.clone(), Some("text/json"), 415),
        (http1.clone(), None, 415),
        (http1.clone(), Some("application/grpc"), 505),
        (http1, Some("application/grpc-web+proto; charset=utf-8"), 200),
        (http2(), Some("application/grpc+proto;v=1"), 200),
    ] {
        let mut request = client.post(&url).header("authorization", &bearer).body(framed(b""));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{content_type:?}");
        let accept = response.headers().get("accept").cloned();
        let text = response.bytes().await.unwrap();
        assert_eq!(accept.is_some(), expected != 200, "{content_type:?}");
        if expected != 200 {
            let text = String::from_utf8(text.to_vec()).unwrap();
            assert!(text.contains("gRPC") && text.ends_with('\n'), "{content_type:?}: {text}");
        }
    }
    assert_still_works(&service).await;
    service.stop().await;
}

/// The specification of compression: INTERNAL for a message that is marked as compressed without an encoding.
/// That of HTTP/2: UNIMPLEMENTED for an unknown encoding, with those that are accepted.
#[tokio::test]
async fn unsupported_compression_has_the_code_of_the_specification() {
    let service = Service::start().await;
    let bearer = format!("Bearer {}", service.issuer.token("payments", ALL));
    let url = format!("http://{}{GET_CALLER}", service.address);
    let mut compressed = framed(b"");
    compressed[0] = 1;
    for (encoding, body, expected) in [
        (None, compressed.clone(), "13"),
        (Some("identity"), compressed, "13"),
        (Some("snappy"), framed(b""), "12"),
    ] {
        let mut request = http2().post(&url).header("authorization", &bearer).body(body);
        request = request.header("content-type", "application/grpc");
        if let Some(encoding) = encoding {
            request = request.header("grpc-encoding", encoding);
        }
        let response = request.send().await.unwrap();
        let (code, message) = status(&response);
        assert_eq!(code, expected, "{encoding:?}: {message}");
        if expected == "12" {
            assert!(response.headers().contains_key("grpc-accept-encoding"));
        }
    }
    assert_still_works(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_message_of_five_mebibytes_is_rejected_and_the_server_works() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let mut message = on_group("/payments/api", "key");
    message.reason = "x".repeat(5 * 1024 * 1024);
    let refused = caller.send(message).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::InvalidArgument, "FIELD_INVALID".into()));
    assert!(refused.message().contains("limit"), "{refused:?}");
    assert_still_works(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_message_of_one_mebibyte_is_accepted_and_one_byte_more_is_not() {
    let service = Service::start().await;
    let bearer = format!("Bearer {}", service.issuer.token("payments", ALL));
    for (length, expected) in [(1 << 20, ""), ((1 << 20) + 1, "3")] {
        // The decoder skips an unknown field: its tag, a length of three bytes, and its content.
        let content = length - 4;
        let mut message = vec![15_u8 << 3 | 2];
        prost::encoding::encode_varint(content, &mut message);
        message.resize(usize::try_from(length).unwrap(), b'x');
        let response = post(&service, GET_CALLER, &[&bearer], framed(&message)).await;
        let (code, message) = status(&response);
        assert_eq!(code, expected, "{length}: {message}");
        let body = response.bytes().await.unwrap();
        assert_eq!(
            body.is_empty(),
            !code.is_empty(),
            "{length}: the response has either a message or an error"
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn responses_and_errors_carry_the_remaining_rate_limit() {
    let limits = tenant("payments", PAYMENTS, "{ per_second = 1, burst = 4, max_in_flight = 9 }")
        + &tenant("orders", ORDERS, "{ per_second = 100, burst = 100, max_in_flight = 1 }");
    let service = Plan::default().tenants(&limits).start().await;
    service.sandbox.sandbox().fault(Fault::on("DescribeLogGroups", Effect::Hang).in_account(ORDERS));
    let rate_limit = |response: &Response| {
        ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(|name| {
            let value = response.headers().get(name).unwrap_or_else(|| panic!("no {name}: {response:?}"));
            value.to_str().unwrap().parse::<u32>().unwrap()
        })
    };
    let bearer = format!("Bearer {}", service.issuer.token("payments", ALL));
    let done = post(&service, GET_CALLER, &[&bearer], framed(b"")).await;
    assert_eq!((status(&done).0.as_str(), rate_limit(&done)), ("", [4, 3, 1]));
    let target = Some(get_key_association_request::Target::LogGroupName("/payments/missing".into()));
    let missing = GetKeyAssociationRequest { target, ..GetKeyAssociationRequest::default() };
    let failed = post(&service, GET, &[&bearer], framed(&missing.encode_to_vec())).await;
    let garbled = post(&service, GET, &[&bearer], b"no frame at all".to_vec()).await;
    for (response, expected) in [(failed, "5"), (garbled, "3")] {
        assert_eq!(status(&response).0, expected);
        let [limit, remaining, reset] = rate_limit(&response);
        assert!(limit == 4 && remaining <= 3 && (1..=4).contains(&reset), "{response:?}");
    }
    let exhausted = loop {
        let response = post(&service, GET_CALLER, &[&bearer], framed(b"")).await;
        if status(&response).0 == "8" {
            break response;
        }
    };
    assert_eq!(rate_limit(&exhausted), [4, 0, 4]);

    let orders = service.caller("orders", ALL);
    let hung = tokio::spawn(async move { orders.get("/orders/api").await });
    until_aws_is_called(&service, ORDERS).await;
    let bearer = format!("Bearer {}", service.issuer.token("orders", ALL));
    let crowded = post(&service, GET_CALLER, &[&bearer], framed(b"")).await;
    assert_eq!(status(&crowded).0, "8");
    let [limit, remaining, reset] = rate_limit(&crowded);
    assert!(
        limit == 100 && remaining >= 99 && reset <= 1,
        "a call over the concurrency limit does not use the rate"
    );
    hung.abort();
    service.stop().await;
}

#[tokio::test]
async fn a_full_service_still_serves_health_metrics_and_reflection() {
    let service = Plan::default().settings("[server]\nmax_in_flight = 1\n").start().await;
    service.sandbox.sandbox().fault(Fault::on("DescribeLogGroups", Effect::Hang));
    let caller = service.caller("payments", ALL);
    let hanging = caller.clone();
    let hung = tokio::spawn(async move { hanging.get(GROUP).await });
    until_aws_is_called(&service, PAYMENTS).await;
    let refused = caller.who_am_i().await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::Unavailable, "OVERLOADED".into()));
    assert!(refused.get_details_retry_info().is_some());
    for path in ["livez", "readyz", "metrics", "limits"] {
        let url = format!("http://{}/{path}", service.admin);
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200, "{path}");
    }
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(service.channel());
    let reply = reflection.server_reflection_info(tokio_stream::once(list)).await.unwrap();
    assert!(reply.into_inner().message().await.unwrap().is_some());
    assert_eq!(
        reason(&caller.who_am_i().await.unwrap_err()),
        "OVERLOADED",
        "the service was full the whole time"
    );
    hung.abort();
    service.stop().await;
}

#[tokio::test]
async fn metadata_of_64_kib_is_rejected_and_the_server_works() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let mut request = caller.request(on_group("/payments/api", "key"));
    request.metadata_mut().insert("x-padding", "x".repeat(64 * 1024).parse().unwrap());
    let refused = caller.keys().associate_kms_key(request).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::InvalidArgument, "FIELD_INVALID".into()));
    assert!(refused.message().starts_with("metadata is longer"), "{refused:?}");
    assert_still_works(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn an_unknown_method_or_service_is_unimplemented_with_details() {
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
async fn no_token_a_bad_token_and_two_tokens_are_all_rejected() {
    let service = Service::start().await;
    let good = format!("Bearer {}", service.issuer.token("payments", ALL));
    for (authorization, expected) in [
        (vec![], "a bearer token is required"),
        (vec!["Bearer garbage"], "the token was rejected"),
        (vec!["Basic dTpw"], "the token was rejected"),
        (vec![good.as_str(), good.as_str()], "the token was rejected"),
    ] {
        let response = post(&service, GET_CALLER, &authorization, framed(b"")).await;
        let (code, message) = status(&response);
        assert_eq!(code, "16");
        assert!(message.replace("%20", " ").starts_with(expected), "{message}");
    }
    assert_still_works(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn health_of_each_service_is_reported_without_a_token() {
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
async fn an_error_carries_the_request_id_of_the_client() {
    let service = Service::start().await;
    let mut request = Request::new(GetCallerRequest {});
    request.metadata_mut().insert("x-request-id", "ticket-42".parse().unwrap());
    let refused = TenantServiceClient::new(service.channel()).get_caller(request).await.unwrap_err();
    assert_eq!(refused.get_details_request_info().unwrap().request_id, "ticket-42");
    assert_eq!(refused.metadata().get("x-request-id").unwrap(), "ticket-42");
    service.stop().await;
}

#[tokio::test]
async fn a_browser_can_call_with_grpc_web() {
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
async fn the_admin_port_reports_liveness_and_readiness() {
    let service = Service::start().await;
    assert_still_works(&service).await;
    for path in ["livez", "readyz", "metrics"] {
        let url = format!("http://{}/{path}", service.admin);
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200, "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_unreachable_issuer_is_a_line_while_another_works() {
    let unreachable = "[[auth.issuers]]\nissuer = \"https://down.test\"\naudiences = [\"logkey\"]\njwks_uri = \"http://127.0.0.1:9/jwks.json\"\n";
    let service = Plan::default().settings(unreachable).start().await;
    assert_still_works(&service).await;
    let response = reqwest::get(format!("http://{}/readyz", service.admin)).await.unwrap();
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    assert!(text.starts_with("ok\nissuer: https://down.test: "), "{text}");
    service.stop().await;
}
