//! What gRPC's documents require of a server, on the wire: messages, timeouts, compression, health and reflection.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use logkey::proto::{AssociateKmsKeyRequest, WatchAuditEventsRequest, associate_kms_key_request::Target};
use prost::Message as _;
use reqwest::{Client, Response};
use tokio::net::TcpStream;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ExtensionRequest, ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::harness::{ALL, Service};

const GET_CALLER: &str = "keyassociation.v1.TenantService/GetCaller";
const ASSOCIATE: &str = "keyassociation.v1.KeyAssociationService/AssociateKmsKey";
const WATCH: &str = "keyassociation.v1.AuditService/WatchAuditEvents";
const CHECK: &str = "grpc.health.v1.Health/Check";

/// A message with its prefix.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], message].concat()
}

async fn post(service: &Service, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
    let client = Client::builder().http2_prior_knowledge().timeout(Duration::from_secs(20)).build().unwrap();
    let bearer = service.issuer.token("payments", "logkey:read logkey:audit");
    let mut request =
        client.post(format!("http://{}/{path}", service.address)).bearer_auth(bearer).body(body);
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")].iter().chain(headers) {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// The code and the message of a response without a body.
fn status(response: &Response) -> (String, String) {
    assert_eq!(response.status(), 200, "an error of a call is never an HTTP error");
    let text = |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    assert!(text("content-type").starts_with("application/grpc"));
    // The message is percent-encoded.
    (text("grpc-status"), text("grpc-message").replace("%20", " "))
}

#[tokio::test]
async fn a_method_that_takes_one_message_gets_exactly_one() {
    let service = Service::start().await;
    let watch = WatchAuditEventsRequest { after_position: Some(0), filter: None }.encode_to_vec();
    for (path, message) in [(GET_CALLER, &b""[..]), (WATCH, &watch), (CHECK, b"")] {
        let one = framed(0, message);
        for (body, problem) in [
            (Vec::new(), "none"),
            ([one.clone(), one.clone()].concat(), "more"),
            ([&one[..], &[0]].concat(), "more"),
        ] {
            let (code, text) = status(&post(&service, path, &[], body).await);
            assert_eq!(code, "12", "{path}: {text}");
            assert!(text.contains(problem), "{path}: {text}");
        }
    }
    assert!(service.caller("payments", ALL).who_am_i().await.is_ok());
    service.stop().await;
}

#[tokio::test]
async fn a_malformed_timeout_is_refused() {
    let service = Service::start().await;
    for timeout in ["", "S", "15", "123456789S", "15s", "15x", "-1S", "1.5S", "1 S", "+1S"] {
        let response = post(&service, GET_CALLER, &[("grpc-timeout", timeout)], framed(0, b"")).await;
        let (code, text) = status(&response);
        assert_eq!(code, "3", "{timeout:?}");
        assert!(text.starts_with("grpc-timeout "), "{timeout:?}: {text}");
    }
    let twice = [("grpc-timeout", "5S"), ("grpc-timeout", "5S")];
    assert_eq!(status(&post(&service, GET_CALLER, &twice, framed(0, b"")).await).0, "3");
    for timeout in ["99999999H", "99999999M", "99999999S", "99999999m", "00000005S"] {
        let response = post(&service, GET_CALLER, &[("grpc-timeout", timeout)], framed(0, b"")).await;
        assert_eq!(status(&response).0, "", "{timeout}");
    }
    for timeout in ["0S", "1n"] {
        let response = post(&service, GET_CALLER, &[("grpc-timeout", timeout)], framed(0, b"")).await;
        assert_eq!(status(&response).0, "4", "{timeout}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_response_is_compressed_only_as_the_client_accepts() {
    let service = Service::start().await;
    for (accepted, expected) in [
        (None, None),
        (Some("identity"), None),
        (Some("snappy, br"), None),
        (Some("gzip"), Some("gzip")),
        (Some("snappy,gzip"), Some("gzip")),
    ] {
        let headers: Vec<_> = accepted.iter().map(|accepted| ("grpc-accept-encoding", *accepted)).collect();
        let response = post(&service, GET_CALLER, &headers, framed(0, b"")).await;
        let encoding = response.headers().get("grpc-encoding").map(|it| it.to_str().unwrap().to_owned());
        assert!(encoding.is_none() || encoding.as_deref() == expected, "{accepted:?}: {encoding:?}");
        let body = response.bytes().await.unwrap();
        assert_eq!(body[0] == 1, encoding.is_some(), "{accepted:?}: the flag says what the encoding says");
    }
    // A message without compression is valid beside an encoding.
    for encoding in ["gzip", "identity"] {
        let response = post(&service, GET_CALLER, &[("grpc-encoding", encoding)], framed(0, b"")).await;
        assert_eq!(status(&response).0, "", "{encoding}");
    }
    let response = post(&service, GET_CALLER, &[("grpc-encoding", "gzip")], framed(1, b"no gzip")).await;
    assert_ne!(status(&response).0, "", "a message that is not gzip");
    for flag in [2, 3, 0x80, 0xff] {
        let response = post(&service, GET_CALLER, &[], framed(flag, b"")).await;
        assert_ne!(status(&response).0, "", "flag {flag}");
    }
    service.stop().await;
}

#[tokio::test]
async fn metadata_that_the_service_does_not_know_is_ignored() {
    let service = Service::start().await;
    let headers = [
        ("grpc-unknown", "x"),
        ("x-data-bin", "not base64!"),
        ("user-agent", ""),
        ("grpc-message-type", "other.Message"),
    ];
    let response = post(&service, GET_CALLER, &headers, framed(0, b"")).await;
    assert_eq!(status(&response).0, "");
    service.stop().await;
}

#[tokio::test]
async fn a_watch_of_health_reports_the_state_and_stays_open() {
    let service = Service::start().await;
    let mut health = HealthClient::new(service.channel());
    for (name, expected) in [
        ("", ServingStatus::Serving),
        ("keyassociation.v1.TenantService", ServingStatus::Serving),
        // "If the service is unknown, the server sends SERVICE_UNKNOWN, and later its state if it appears."
        ("other.v1.Service", ServingStatus::ServiceUnknown),
    ] {
        let watch = health.watch(HealthCheckRequest { service: name.into() }).await;
        let Ok(watch) = watch else {
            assert_eq!(expected, ServingStatus::ServiceUnknown);
            panic!("a watch of an unknown service must not fail: {watch:?}");
        };
        let mut watch = watch.into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), expected, "{name}");
        let more = tokio::time::timeout(Duration::from_millis(50), watch.message()).await;
        assert!(more.is_err(), "the watch of {name:?} ended or repeated itself: {more:?}");
    }
    let unknown = health.check(HealthCheckRequest { service: "other.v1.Service".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    service.stop().await;
}

#[tokio::test]
async fn reflection_answers_each_request_of_a_stream_in_order() {
    let service = Service::start().await;
    let requests = [
        MessageRequest::FileContainingSymbol("keyassociation.v1.TenantService".into()),
        MessageRequest::FileContainingSymbol("keyassociation.v1.TenantService.GetCaller".into()),
        MessageRequest::FileByFilename("keyassociation/v1/tenant_service.proto".into()),
        MessageRequest::ListServices(String::new()),
    ];
    let requests =
        requests.map(|it| ServerReflectionRequest { host: String::new(), message_request: Some(it) });
    let mut client = ServerReflectionClient::new(service.channel());
    let answers = client.server_reflection_info(Request::new(tokio_stream::iter(requests))).await.unwrap();
    let answers: Vec<_> = answers.into_inner().collect().await;
    assert_eq!(answers.len(), 4);
    let answers: Vec<_> = answers.into_iter().map(|it| it.unwrap().message_response.unwrap()).collect();
    for answer in &answers[..3] {
        assert!(
            matches!(answer, MessageResponse::FileDescriptorResponse(it) if !it.file_descriptor_proto.is_empty())
        );
    }
    assert!(matches!(&answers[3], MessageResponse::ListServicesResponse(it) if it.service.len() >= 7));
    service.stop().await;
}

/// What a request of reflection gets: the code of its error in the stream, or none.
fn error_code(answer: &MessageResponse) -> Option<i32> {
    let MessageResponse::ErrorResponse(error) = answer else { return None };
    assert!(!error.error_message.is_empty());
    Some(error.error_code)
}

#[tokio::test]
async fn reflection_reports_what_it_does_not_have_in_the_stream_and_goes_on() {
    let service = Service::start().await;
    let extension = |containing_type: &str| {
        let containing_type = containing_type.to_owned();
        MessageRequest::FileContainingExtension(ExtensionRequest { containing_type, extension_number: 1 })
    };
    let (not_found, invalid) = (Some(Code::NotFound as i32), Some(Code::InvalidArgument as i32));
    let caller = "keyassociation.v1.GetCallerRequest";
    let requests = [
        (Some(MessageRequest::FileByFilename("none.proto".into())), not_found),
        (Some(MessageRequest::FileContainingSymbol("keyassociation.v1.None".into())), not_found),
        (
            Some(MessageRequest::FileContainingSymbol("keyassociation.v1.TenantService.None".into())),
            not_found,
        ),
        (Some(MessageRequest::FileContainingSymbol(String::new())), not_found),
        (Some(extension(caller)), not_found),
        (Some(extension("none")), not_found),
        (Some(MessageRequest::AllExtensionNumbersOfType("none".into())), not_found),
        (None, invalid),
        (Some(MessageRequest::AllExtensionNumbersOfType(caller.into())), None),
        (
            Some(MessageRequest::FileContainingSymbol("grpc.health.v1.HealthCheckRequest.service".into())),
            None,
        ),
        (Some(MessageRequest::FileContainingSymbol("grpc.reflection.v1alpha.ServerReflection".into())), None),
    ];
    let (requests, expected): (Vec<_>, Vec<_>) = requests
        .into_iter()
        .map(|(message_request, code)| {
            (ServerReflectionRequest { host: "some.host".into(), message_request }, code)
        })
        .unzip();
    let stream = tokio_stream::iter(requests.clone());
    let answers =
        ServerReflectionClient::new(service.channel()).server_reflection_info(stream).await.unwrap();
    let answers: Vec<_> = answers.into_inner().map(Result::unwrap).collect().await;
    let codes = answers.iter().map(|answer| error_code(answer.message_response.as_ref().unwrap()));
    assert_eq!(codes.collect::<Vec<_>>(), expected);
    for (answer, request) in answers.iter().zip(&requests) {
        assert_eq!((&*answer.valid_host, answer.original_request.as_ref()), ("some.host", Some(request)));
    }
    // The same in the older version, which some clients still use.
    let older = tonic_reflection::pb::v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest::FileByFilename(
                "none.proto".into(),
            ),
        ),
    };
    let mut client = tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient::new(
        service.channel(),
    );
    let answers = client.server_reflection_info(tokio_stream::iter([older.clone(), older])).await.unwrap();
    let answers: Vec<_> = answers.into_inner().map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), 2, "the stream goes on after an error");
    service.stop().await;
}

/// "The value portion of Status-Message is conceptually a Unicode string description of the error, physically
/// encoded as UTF-8 followed by percent-encoding." Values of `-bin` headers have no padding
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
#[tokio::test]
async fn an_error_is_percent_encoded_and_its_details_have_no_padding() {
    let service = Service::start().await;
    for name in ["/app/caf\u{e9}", "100%", "/app/%41", "a\tb", "\u{1f511}", "%"] {
        let target = Some(Target::LogGroupName(name.into()));
        let request =
            AssociateKmsKeyRequest { target, kms_key_id: "alias/logs".into(), ..Default::default() };
        let body = framed(0, &request.encode_to_vec());
        let response = post(&service, ASSOCIATE, &[], body).await;
        let header = |name| response.headers().get(name).unwrap().as_bytes();
        let encoded = header("grpc-message");
        assert!(encoded.iter().all(|byte| (b' '..=b'~').contains(byte)), "{encoded:?}");
        let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
        for (at, _) in encoded.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
            assert!(hex(encoded.get(at + 1)) && hex(encoded.get(at + 2)), "{encoded:?}");
        }
        let message = percent_encoding::percent_decode(encoded).decode_utf8().unwrap();
        let details =
            BASE64_STANDARD_NO_PAD.decode(header("grpc-status-details-bin")).expect("without padding");
        let details = tonic_types::pb::Status::decode(&*details).unwrap();
        assert_eq!((details.code, &*details.message), (3, &*message), "{name:?}");
    }
    service.stop().await;
}

/// gRPC's clients end a request with its last DATA frame. A client that sends trailers all the same has its call
/// answered, and its trailers mean nothing.
#[tokio::test]
async fn trailers_of_a_request_change_nothing() {
    let service = Service::start().await;
    let socket = TcpStream::connect(service.address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    let driving = tokio::spawn(connection);
    let bearer = service.issuer.token("payments", "logkey:read");
    for (path, token) in [(GET_CALLER, Some(&bearer)), (GET_CALLER, None), (CHECK, None)] {
        let mut request = http::Request::post(format!("http://{}/{path}", service.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut client = client.clone().ready().await.unwrap();
        let (response, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(framed(0, b"").into(), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "13".parse().unwrap());
        trailers.insert("authorization", format!("Bearer {bearer}").parse().unwrap());
        body.send_trailers(trailers).unwrap();
        let (head, mut body) = response.await.unwrap().into_parts();
        let mut length = 0;
        while let Some(data) = body.data().await {
            length += data.unwrap().len();
        }
        let trailers = body.trailers().await.unwrap();
        let status = trailers.as_ref().unwrap_or(&head.headers).get("grpc-status").unwrap();
        let expected = if path == GET_CALLER && token.is_none() { "16" } else { "0" };
        assert_eq!(status, expected, "{path}");
        assert_eq!(length > 0, expected == "0", "{path}");
    }
    drop(client);
    driving.abort();
    service.stop().await;
}
