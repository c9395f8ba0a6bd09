use std::time::Duration;

use aws_sdk_sts::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::domain::refusal::{AccessDenial, DeniedAction, DenyingPolicy, ServiceFault};

/// Starts a `CloudWatch` Logs stub that sends these bytes as the response to every call.
async fn responding(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            let _gone = stream.write_all(&bytes).await;
        }
    });
    url
}

/// Reads one request, headers and body.
async fn read_request(stream: &mut TcpStream) {
    let mut received = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        received.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&received);
        let length = text
            .to_ascii_lowercase()
            .split_once("content-length: ")
            .and_then(|(_, rest)| rest.split("\r\n").next().and_then(|n| n.parse::<usize>().ok()));
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if count == 0 || body >= Some(length.unwrap_or(0)) && body.is_some() {
            return;
        }
    }
}

fn http(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {length}\r\n\
         connection: close\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// An error response in the JSON of `CloudWatch` Logs and KMS.
fn json(status: u16, code: &str, message: &str) -> Vec<u8> {
    let body = serde_json::json!({ "__type": code, "message": message }).to_string();
    http(status, "x-amzn-requestid: id-1\r\n", &body)
}

/// Sends `AssociateKmsKey` to this address, and returns its error.
fn client(url: &str) -> aws_sdk_cloudwatchlogs::Client {
    let config = aws_sdk_cloudwatchlogs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-west-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(500)).build(),
        )
        .build();
    aws_sdk_cloudwatchlogs::Client::from_conf(config)
}

async fn associate(url: &str) -> UpstreamError {
    let result = client(url).associate_kms_key().log_group_name("/app").kms_key_id("k").send().await;
    upstream(result.unwrap_err())
}

async fn refused_with(code: &str, message: &str) -> Refusal {
    let error = associate(&responding(json(400, code, message)).await).await;
    let UpstreamError::Refused { refusal, answer } = error else { panic!("{error:?}") };
    assert_eq!((&*answer.code, &*answer.message), (code, message));
    assert_eq!(answer.request_id.as_deref(), Some("id-1"));
    refusal
}

fn denied(action: DeniedAction, by: DenyingPolicy, explicit: bool) -> Refusal {
    Refusal::Denied(AccessDenial { action, by, explicit })
}

#[tokio::test]
async fn every_observed_refusal_is_classified_by_code_and_message() {
    const ROLE: &str = "User: arn:aws:sts::111122223333:assumed-role/R/s is not authorized to perform:";
    for (code, message, meaning) in [
        (
            "AccessDeniedException",
            "The specified KMS key does not exist or is not allowed to be used with Arn \
             'arn:aws:logs:eu-west-1:111122223333:log-group:/app'",
            Refusal::KeyMissingOrNotAllowed,
        ),
        (
            "AccessDeniedException",
            &format!(
                "{ROLE} kms:Encrypt on resource: arn:aws:kms:eu-west-1:111122223333:key/k because no \
                 identity-based policy allows the kms:Encrypt action"
            ),
            denied(DeniedAction::Kms, DenyingPolicy::Identity, false),
        ),
        (
            "AccessDeniedException",
            &format!(
                "{ROLE} logs:AssociateKmsKey on resource: \
                 arn:aws:logs:eu-west-1:111122223333:log-group:/app:log-stream: because no identity-based \
                 policy allows the logs:AssociateKmsKey action"
            ),
            denied(DeniedAction::Logs, DenyingPolicy::Identity, false),
        ),
        (
            "AccessDeniedException",
            &format!(
                "{ROLE} logs:AssociateKmsKey on resource: x with an explicit deny in a service control policy"
            ),
            denied(DeniedAction::Logs, DenyingPolicy::ServiceControl, true),
        ),
        (
            "AccessDeniedException",
            &format!("{ROLE} kms:Encrypt on resource: x with an explicit deny in a resource control policy"),
            denied(DeniedAction::Kms, DenyingPolicy::ResourceControl, true),
        ),
        ("AccessDeniedException", "No.", Refusal::Other),
        ("InvalidParameterException", "The specified KMS Key Id could not be found", Refusal::KeyNotFound),
        (
            "InvalidParameterException",
            "Log groups starting with AWS/ are reserved for AWS",
            Refusal::LogGroupReserved,
        ),
        ("InvalidParameterException", "The specified KMS key is disabled", Refusal::KeyDisabled),
        (
            "InvalidParameterException",
            "arn:aws:kms:eu-west-1:111122223333:key/k is pending deletion",
            Refusal::KeyPendingDeletion,
        ),
        ("InvalidParameterException", "The KMS key is asymmetric", Refusal::KeyNotSymmetric),
        ("InvalidParameterException", "The feature is disabled", Refusal::Parameter),
        ("InvalidParameterException", "1 validation error detected", Refusal::Parameter),
        ("ResourceNotFoundException", "The specified log group does not exist.", Refusal::LogGroupNotFound),
        ("NotFoundException", "Key 'arn:aws:kms:x' does not exist", Refusal::KeyNotFound),
        ("DisabledException", "arn is disabled.", Refusal::KeyDisabled),
        ("KMSInvalidStateException", "key is pending deletion.", Refusal::KeyPendingDeletion),
        ("SerializationException", "", Refusal::Parameter),
        (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            Refusal::RegionNotEnabled,
        ),
        (
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
            Refusal::RegionNotEnabled,
        ),
        (
            "OptInRequired",
            "The AWS Access Key Id needs a subscription for the service",
            Refusal::AccountNotSubscribed,
        ),
        ("SubscriptionRequiredException", "", Refusal::AccountNotSubscribed),
        ("SomethingNewException", "says something new", Refusal::Other),
    ] {
        assert_eq!(refused_with(code, message).await, meaning, "{code}: {message}");
    }
}

#[tokio::test]
async fn the_code_decides_before_the_status() {
    let error_of = async |status, code| associate(&responding(json(status, code, "words")).await).await;
    for (status, code) in [(400, "ThrottlingException"), (400, "LimitExceededException"), (429, "Other")] {
        assert!(matches!(error_of(status, code).await, UpstreamError::Throttled { .. }), "{status} {code}");
    }
    assert!(matches!(error_of(400, "OperationAbortedException").await, UpstreamError::Conflict { .. }));
    for (status, code) in [
        (500, "ServiceUnavailableException"),
        (400, "ServiceUnavailableException"),
        (503, "Whatever"),
        (500, "AccessDeniedException"),
    ] {
        assert!(matches!(error_of(status, code).await, UpstreamError::Fault { .. }), "{status} {code}");
    }
}

#[tokio::test]
async fn a_common_error_of_the_request_itself_is_a_fault_of_the_service() {
    for (code, message, expected) in [
        ("InvalidSignatureException", "Signature expired: x is now earlier than y", ServiceFault::Clock),
        ("InvalidSignatureException", "Signature not yet current: x", ServiceFault::Clock),
        ("RequestExpired", "", ServiceFault::Clock),
        (
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
            ServiceFault::Signature,
        ),
        ("IncompleteSignature", "", ServiceFault::Signature),
        ("MissingAuthenticationTokenException", "", ServiceFault::Signature),
        (
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'logs'.",
            ServiceFault::Endpoint,
        ),
        ("UnknownOperationException", "", ServiceFault::Endpoint),
        ("MalformedHttpRequestException", "", ServiceFault::Endpoint),
    ] {
        let error = associate(&responding(json(400, code, message)).await).await;
        let UpstreamError::ServiceMisconfigured { fault, .. } = error else { panic!("{code}: {error:?}") };
        assert_eq!(fault, expected, "{code}: {message}");
    }
}

#[tokio::test]
async fn an_expired_session_is_distinguished_from_other_refusals() {
    assert!(is_session_expired(
        &associate(&responding(json(400, "ExpiredTokenException", "over")).await).await
    ));
    assert!(!is_session_expired(
        &associate(&responding(json(400, "AccessDeniedException", "no")).await).await
    ));
}

#[tokio::test]
async fn a_response_that_is_not_from_aws_is_classified_by_status() {
    let html = "<html>Bad gateway</html>";
    let bad_gateway = associate(&responding(http(502, "", html)).await).await;
    assert!(matches!(bad_gateway, UpstreamError::Fault { .. }), "{bad_gateway:?}");
    let forbidden = associate(&responding(http(403, "", html)).await).await;
    let UpstreamError::ServiceMisconfigured { fault: ServiceFault::Endpoint, answer } = forbidden else {
        panic!("{forbidden:?}")
    };
    assert_eq!(&*answer.code, "HTTP 403");
    let redirect = associate(&responding(http(302, "", html)).await).await;
    assert!(matches!(redirect, UpstreamError::Fault { .. }), "{redirect:?}");
}

#[tokio::test]
async fn a_response_that_cannot_be_parsed_is_no_refusal() {
    let url = responding(http(200, "", "<html>Welcome</html>")).await;
    let error = upstream(client(&url).describe_log_groups().send().await.unwrap_err());
    assert!(matches!(error, UpstreamError::Fault { .. }), "{error:?}");
}

#[tokio::test]
async fn a_closed_port_means_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = associate(&url).await;
    assert!(matches!(error, UpstreamError::NotSent(_)), "{error:?}");
}

#[tokio::test]
async fn an_unresolvable_name_means_that_nothing_was_sent() {
    let error = associate("http://logs.invalid").await;
    assert!(matches!(error, UpstreamError::NotSent(_)), "{error:?}");
}

#[tokio::test]
async fn a_truncated_or_missing_response_leaves_the_outcome_unknown() {
    for bytes in [b"".to_vec(), b"HTTP/1.1 200".to_vec(), b"garbage\r\n\r\n".to_vec()] {
        let error = associate(&responding(bytes).await).await;
        assert!(matches!(error, UpstreamError::Unanswered(_)), "{error:?}");
    }
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = associate(&format!("http://{}", silent.local_addr().unwrap())).await;
    assert!(matches!(error, UpstreamError::Unanswered(_)), "{error:?}");
}

#[tokio::test]
async fn the_error_of_sts_is_parsed_from_xml() {
    let body = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                <Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error>\
                <RequestId>id-2</RequestId></ErrorResponse>";
    let url = responding(http(403, "x-amzn-requestid: id-2\r\n", body)).await;
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-west-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .build();
    let call =
        Client::from_conf(config).assume_role().role_arn("arn:aws:iam::1:role/x").role_session_name("xx");
    let error = call.send().await.unwrap_err();
    let AwsErrorDetails { code, message, request_id } = error_details(&error);
    assert_eq!((&*code, &*message), ("AccessDenied", "not authorized to perform: sts:AssumeRole"));
    assert_eq!(request_id.as_deref(), Some("id-2"));
}
