//! The Connect protocol through the whole service: over HTTP/1.1 and HTTP/2, with JSON and Protobuf.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use logkey::{
    proto::{GetCallerResponse, WatchAuditEventsRequest},
    sandbox::fault::{Effect, Fault},
};
use prost::Message as _;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::harness::{ALL, GROUP, Plan, Service, key};

const GET_CALLER: &str = "keyassociation.v1.TenantService/GetCaller";
const ASSOCIATE: &str = "keyassociation.v1.KeyAssociationService/AssociateKmsKey";
const GET: &str = "keyassociation.v1.KeyAssociationService/GetKeyAssociation";
const WATCH: &str = "keyassociation.v1.AuditService/WatchAuditEvents";

fn clients() -> [Client; 2] {
    let builder = || Client::builder().timeout(Duration::from_secs(20));
    [builder().http1_only().build().unwrap(), builder().http2_prior_knowledge().build().unwrap()]
}

/// A caller by HTTP.
struct HttpCaller<'s> {
    service: &'s Service,
    token: String,
}

impl<'s> HttpCaller<'s> {
    fn new(service: &'s Service, scopes: &str) -> Self {
        Self { service, token: service.issuer.token("payments", scopes) }
    }

    async fn post(
        &self,
        client: &Client,
        path: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Response {
        self.post_with(client, path, &[("content-type", content_type)], body.into()).await
    }

    async fn post_with(
        &self,
        client: &Client,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Response {
        let mut request = client.post(format!("http://{}/{path}", self.service.address)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        request.send().await.unwrap()
    }
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// The status, the code, and the reason in the details.
async fn error(response: Response) -> (u16, String, String) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let error: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}"));
    let reason = error.pointer("/details/0/debug/reason").and_then(Value::as_str).unwrap_or_default();
    assert!(
        error.get("message").and_then(Value::as_str).is_some_and(|message| !message.is_empty()),
        "{error}"
    );
    (status, error.get("code").and_then(Value::as_str).unwrap().to_owned(), reason.to_owned())
}

fn refused(status: u16, code: &str, reason: &str) -> (u16, String, String) {
    (status, code.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_change_is_made_by_json_over_http_1_and_http_2() {
    let service = Service::start().await;
    let caller = HttpCaller::new(&service, ALL);
    for (client, id) in clients().iter().zip(["good", "next"]) {
        let body = json!({ "logGroupName": GROUP, "kmsKeyId": key(id) }).to_string();
        let response = caller.post(client, ASSOCIATE, "application/json", body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-type"), "application/json");
        assert!(!header(&response, "x-request-id").is_empty());
        assert!(!header(&response, "ratelimit-remaining").is_empty());
        let read = json!({ "log_group_name": GROUP }).to_string();
        let read = caller.post(client, GET, "application/json; charset=utf-8", read).await;
        let read: Value = serde_json::from_str(&read.text().await.unwrap()).unwrap();
        assert_eq!(read["association"]["kmsKeyArn"], key(id), "{read}");
        let me = caller.post(client, GET_CALLER, "application/proto", Vec::new()).await;
        assert_eq!(header(&me, "content-type"), "application/proto");
        let me = GetCallerResponse::decode(me.bytes().await.unwrap()).unwrap();
        assert_eq!(me.tenant_id, "payments");
    }
    assert_eq!(service.reached("AssociateKmsKey").len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn an_error_has_the_code_the_reason_and_the_details_of_grpc() {
    let service = Service::start().await;
    let caller = HttpCaller::new(&service, ALL);
    let client = &clients()[0];
    let body = json!({ "logGroupName": "/payments/none", "kmsKeyId": key("good") }).to_string();
    let response = caller.post(client, ASSOCIATE, "application/json", body).await;
    assert_eq!(header(&response, "content-type"), "application/json");
    let text = response.text().await.unwrap();
    let failure: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(failure["code"], "not_found");
    let info = &failure["details"][0];
    assert_eq!(
        (&info["type"], &info["debug"]["domain"]),
        (&json!("google.rpc.ErrorInfo"), &json!("keyassociation.v1"))
    );
    let bytes = STANDARD_NO_PAD.decode(info["value"].as_str().unwrap()).unwrap();
    assert_eq!(tonic_types::pb::ErrorInfo::decode(&*bytes).unwrap().reason, "LOG_GROUP_NOT_FOUND");

    let read_only = HttpCaller::new(&service, "logkey:read");
    let body = json!({ "logGroupName": GROUP, "kmsKeyId": key("good") }).to_string();
    let denied = read_only.post(client, ASSOCIATE, "application/json", body).await;
    assert_eq!(error(denied).await, refused(403, "permission_denied", "SCOPE_MISSING"));
    let nobody = HttpCaller { service: &service, token: String::new() };
    for body in ["{}", "no JSON", ""] {
        let response = nobody.post(client, GET_CALLER, "application/json", body).await;
        assert_eq!(error(response).await, refused(401, "unauthenticated", "TOKEN_MISSING"), "{body}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_the_message_is_refused() {
    let service = Service::start().await;
    let caller = HttpCaller::new(&service, ALL);
    let too_long = json!({ "reason": "x".repeat(5 * 1024 * 1024) }).to_string();
    let longer_than_one = json!({ "reason": "x".repeat(2 * 1024 * 1024) }).to_string();
    for client in &clients() {
        for body in [
            "",
            "no JSON",
            "[]",
            "{\"unknown\":1}",
            "{} {}",
            "{\"logGroupName\":7}",
            &longer_than_one,
            &too_long,
        ] {
            let response = caller.post(client, ASSOCIATE, "application/json", body).await;
            let what: String = body.chars().take(30).collect();
            assert_eq!(error(response).await, refused(400, "invalid_argument", "FIELD_INVALID"), "{what}");
        }
        let response = caller.post(client, GET_CALLER, "application/proto", b"\xff\xff\xff".to_vec()).await;
        assert_eq!(error(response).await, refused(400, "invalid_argument", "FIELD_INVALID"));
        let json = [("content-type", "application/json")];
        for more in
            [("connect-protocol-version", "2"), ("content-encoding", "gzip"), ("connect-timeout-ms", "soon")]
        {
            let response =
                caller.post_with(client, GET_CALLER, &[&json[..], &[more]].concat(), b"{}".to_vec()).await;
            assert_eq!(error(response).await, refused(400, "invalid_argument", "FIELD_INVALID"), "{more:?}");
        }
        let unknown = [("content-type", "application/json"), ("content-encoding", "br")];
        let response = caller.post_with(client, GET_CALLER, &unknown, b"{}".to_vec()).await;
        assert_eq!(header(&response, "accept-encoding"), "gzip, identity");
        assert_eq!(error(response).await.1, "unimplemented");
    }
    assert!(service.reached("AssociateKmsKey").is_empty());
    service.stop().await;
}

#[tokio::test]
async fn a_path_method_or_form_that_does_not_exist_is_refused_with_a_sentence() {
    let service = Service::start().await;
    let caller = HttpCaller::new(&service, ALL);
    for client in &clients() {
        for path in ["keyassociation.v1.TenantService/Nothing", "other.v1.Service/Method", ""] {
            let response = caller.post(client, path, "application/json", "{}").await;
            assert_eq!(error(response).await, refused(404, "unimplemented", "METHOD_UNKNOWN"), "{path}");
        }
        for (path, content_type) in [(WATCH, "application/json"), (GET_CALLER, "application/connect+json")] {
            let response = caller.post(client, path, content_type, "{}").await;
            assert_eq!(response.status(), 415, "{path}");
            assert!(response.text().await.unwrap().contains("stream"), "{path}");
        }
        let url = format!("http://{}/{GET_CALLER}", service.address);
        for response in
            [client.get(&url).send().await.unwrap(), client.put(&url).body("{}").send().await.unwrap()]
        {
            assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, "POST".to_owned()));
            assert!(response.text().await.unwrap().contains("POST"));
        }
    }
    let health = caller.post(&clients()[0], "grpc.health.v1.Health/Check", "application/json", "{}").await;
    assert_eq!(health.text().await.unwrap(), r#"{"status":"SERVING"}"#);
    service.stop().await;
}

/// Each early answer comes before the service has read the body, which is longer than what it reads at once.
#[tokio::test]
async fn an_early_answer_over_http_1_keeps_the_connection_open() {
    let service = Service::start().await;
    // Before its first valid token, a connection may send little.
    let token = format!("authorization: Bearer {}\r\n", service.issuer.token("payments", ALL));
    let (short, long) = (b"{}".to_vec(), vec![b' '; 768 * 1024]);
    let mut connection = BufReader::new(TcpStream::connect(service.address).await.unwrap());
    for (content_type, token, body, expected) in [
        ("application/json", token.as_str(), &short, 200),
        ("text/plain", "", &long, 415),
        ("application/grpc", "", &long, 505),
        ("application/json", "", &long, 401),
        ("application/json", token.as_str(), &short, 200),
    ] {
        let head = format!(
            "POST /{GET_CALLER} HTTP/1.1\r\nhost: service.test\r\n{token}content-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(
                connection.read_line(&mut head).await.unwrap(),
                0,
                "{content_type}: closed after {head:?}"
            );
        }
        assert!(head.starts_with(&format!("HTTP/1.1 {expected} ")), "{content_type}: {head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        connection.read_exact(&mut vec![0; length.parse().unwrap()]).await.unwrap();
    }
    service.stop().await;
}

#[tokio::test]
async fn a_timeout_ends_the_call() {
    let service = Service::start().await;
    service.sandbox.sandbox().fault(Fault::on("DescribeLogGroups", Effect::Hang));
    let caller = HttpCaller::new(&service, ALL);
    for client in &clients() {
        let headers = [("content-type", "application/json"), ("connect-timeout-ms", "300")];
        let body = json!({ "logGroupName": GROUP }).to_string();
        let response = caller.post_with(client, GET, &headers, body.into()).await;
        let (status, code, _) = error(response).await;
        assert_eq!((status, &*code), (504, "deadline_exceeded"));
    }
    service.stop().await;
}

#[tokio::test]
async fn a_stream_has_its_messages_in_envelopes() {
    let service = Service::start().await;
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    let caller = HttpCaller::new(&service, "logkey:audit");
    let envelope = |message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0], &length[..], message].concat()
    };
    let proto = WatchAuditEventsRequest { after_position: Some(0), filter: None }.encode_to_vec();
    for client in &clients() {
        for (content_type, body) in [
            ("application/connect+json", br#"{"afterPosition":"0"}"#.to_vec()),
            ("application/connect+proto", proto.clone()),
        ] {
            let mut response = caller.post(client, WATCH, content_type, envelope(&body)).await;
            assert_eq!(
                (response.status().as_u16(), &*header(&response, "content-type")),
                (200, content_type)
            );
            let mut bytes = Vec::new();
            while bytes.len() < 5
                || bytes.len()
                    < 5 + usize::try_from(u32::from_be_bytes(bytes[1..5].try_into().unwrap())).unwrap()
            {
                bytes.extend_from_slice(&response.chunk().await.unwrap().unwrap());
            }
            assert_eq!(bytes[0], 0);
        }
        let nobody = HttpCaller { service: &service, token: String::new() };
        let response = nobody.post(client, WATCH, "application/connect+json", envelope(b"{}")).await;
        assert_eq!(response.status(), 200);
        let bytes = response.bytes().await.unwrap();
        assert_eq!(bytes[0], 2, "only the end of the stream");
        let end: Value = serde_json::from_slice(&bytes[5..]).unwrap();
        assert_eq!(end["error"]["code"], "unauthenticated");
        assert_eq!(end["error"]["details"][0]["debug"]["reason"], "TOKEN_MISSING");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_call_and_read_refusals() {
    let cors = "[server.cors]\nallowed_origins = [\"https://portal.example.com\"]\n";
    let service = Plan::default().settings(cors).start().await;
    let url = format!("http://{}/{GET_CALLER}", service.address);
    for client in &clients() {
        let preflight = async |origin: &str| {
            let request = client
                .request(reqwest::Method::OPTIONS, &url)
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header(
                    "access-control-request-headers",
                    "authorization,content-type,connect-protocol-version",
                );
            request.send().await.unwrap()
        };
        let allowed = preflight("https://portal.example.com").await;
        assert_eq!(allowed.status(), 200);
        assert_eq!(header(&allowed, "access-control-allow-origin"), "https://portal.example.com");
        assert_eq!(header(&allowed, "access-control-allow-methods"), "POST");
        assert!(header(&allowed, "access-control-allow-headers").contains("x-grpc-web"));
        for other in [
            "https://evil.example.com",
            "http://portal.example.com",
            "https://portal.example.com:444",
            "null",
        ] {
            assert_eq!(header(&preflight(other).await, "access-control-allow-origin"), "", "{other}");
        }
        for (content_type, status) in
            [("application/json", 401), ("application/grpc-web+proto", 200), ("text/plain", 415)]
        {
            let request = client.post(&url).header("origin", "https://portal.example.com");
            let response = request.header("content-type", content_type).body("{}").send().await.unwrap();
            assert_eq!(response.status(), status, "{content_type}");
            assert_eq!(header(&response, "access-control-allow-origin"), "https://portal.example.com");
            let exposed = header(&response, "access-control-expose-headers");
            for name in
                ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id", "ratelimit-limit"]
            {
                assert!(exposed.split(',').any(|it| it.trim() == name), "{name}: {exposed}");
            }
        }
    }
    service.stop().await;
    let service = Service::start().await;
    let url = format!("http://{}/{GET_CALLER}", service.address);
    let request = clients()[0].post(&url).header("origin", "https://portal.example.com");
    let response = request.header("content-type", "application/json").body("{}").send().await.unwrap();
    assert_eq!(
        header(&response, "access-control-allow-origin"),
        "",
        "without the setting no origin is allowed"
    );
    service.stop().await;
}
