//! What only the operator of the service can repair.

use logkey::sandbox::{
    call_log::Entry,
    fault::{Effect, Fault},
};
use serde_json::json;
use tonic::Code;

use super::*;

fn error(code: &str, message: &str) -> Effect {
    Effect::Error { code: code.to_owned(), message: Some(message.to_owned()), status: Some(403) }
}

#[tokio::test]
async fn a_service_that_may_not_assume_the_role_is_not_the_tenants_fault() {
    let policy = json!({ "Statement": [{ "Effect": "Allow", "Action": "s3:*", "Resource": "*" }] });
    let service = start(aws_with(role()).service_policy(&policy.to_string()), "").await;
    let answers = answers(&service).await;
    answers.assert_all("SERVICE_MISCONFIGURED", "ASSUME_ROLE_NOT_ALLOWED");
    assert_eq!(answers.change.code(), Code::Unavailable);
    assert!(answers.change.get_details_retry_info().is_some(), "{:?}", answers.change);
    let texts = answers.texts();
    assert!(
        texts.contains("operator") && !texts.contains("LogKeyHub") && !texts.contains("trust policy"),
        "{texts}"
    );
    assert_eq!(ready_body(&service).await, (200, "ok\n".to_owned()), "other roles can be assumed");
    service.stop().await;
}

#[tokio::test]
async fn refused_credentials_are_named_in_the_answers_and_in_the_probe() {
    for (code, message, cause) in [
        ("ExpiredToken", "The security token included in the request is expired", "CREDENTIALS_EXPIRED"),
        (
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
            "CREDENTIALS_INVALID",
        ),
        ("SignatureDoesNotMatch", "Signature expired: x is now earlier than y", "CLOCK"),
        ("SignatureDoesNotMatch", "The request signature we calculated does not match", "SIGNATURE"),
        (
            "RegionDisabledException",
            "STS is not activated in this region for account:999999999999.",
            "STS_REGION_DISABLED",
        ),
    ] {
        let service = start(aws_with(role()), "").await;
        assert_eq!(ready_body(&service).await, (200, "ok\n".to_owned()));
        let sts = Fault { service: Some("sts".to_owned()), effect: error(code, message), ..Fault::default() };
        service.sandbox.sandbox().fault(sts);
        answers(&service).await.assert_all("SERVICE_MISCONFIGURED", cause);
        let (status, body) = ready_body(&service).await;
        assert!(status == 200 && body.contains("aws: ") && body.contains(cause), "{status} {body}");
        service.stop().await;
    }
}

#[tokio::test]
async fn sessions_longer_than_role_chaining_allows_are_the_operators_matter() {
    let service = start(aws_with(role()), "session_duration = \"2h\"\n").await;
    answers(&service).await.assert_all("SERVICE_MISCONFIGURED", "SESSION_DURATION");
    service.stop().await;
}

#[tokio::test]
async fn the_session_policy_is_shortened_beside_the_tags_of_the_service() {
    let change = async |service: &Service| {
        service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
        let policy = |entry: &Entry| entry.params["Policy"].as_str().unwrap().len();
        service.reached("AssumeRole").iter().map(policy).collect::<Vec<_>>()
    };
    let service = start(aws_with(role()), "").await;
    let [full] = change(&service).await[..] else { panic!("one session is enough") };
    service.stop().await;
    // The full policy needs one percent more than the tags leave.
    let tags = 101 - (full * 100).div_ceil(2048);
    let service = start(aws_with(role()).packed_tags_percent(tags), "").await;
    let lengths = change(&service).await;
    assert!(lengths.len() == 2 && lengths[1] < lengths[0], "{lengths:?}");
    service.stop().await;
    let service = start(aws_with(role()).packed_tags_percent(99), "").await;
    answers(&service).await.assert_all("SERVICE_MISCONFIGURED", "SESSION_POLICY_TOO_LARGE");
    service.stop().await;
}

#[tokio::test]
async fn the_clock_and_the_network_of_the_service_are_the_operators_matter() {
    for (code, message, cause) in [
        ("InvalidSignatureException", "Signature expired: x is now earlier than y", "CLOCK"),
        ("UnknownOperationException", "", "ENDPOINT"),
        (
            "AccessDeniedException",
            "User: x is not authorized to perform: logs:DescribeLogGroups because no VPC endpoint policy allows it",
            "VPC_ENDPOINT_POLICY",
        ),
    ] {
        let service = start(aws_with(role()), "").await;
        let logs =
            Fault { service: Some("logs".to_owned()), effect: error(code, message), ..Fault::default() };
        service.sandbox.sandbox().fault(logs);
        answers(&service).await.assert_all("SERVICE_MISCONFIGURED", cause);
        service.stop().await;
    }
}
