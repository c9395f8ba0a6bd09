use std::time::Instant;

use tonic::{Status, body::Body};
use tonic_types::StatusExt as _;

use super::{answer::status, details::StatusDetails, *};
use crate::{
    domain::{
        call::{Action, Call, CallSummary, RequestId},
        reason::Reason,
    },
    ports::aws::AwsErrorDetails,
    service,
};

fn call() -> Call {
    Call {
        request_id: "the-id".parse::<RequestId>().unwrap(),
        action: Action::AssociateKmsKey,
        source: None,
        unverified_user_agent: None,
        summary: CallSummary::default(),
        received: Instant::now(),
        deadline: Instant::now(),
    }
}

#[test]
fn each_reason_has_the_same_code_in_the_audit_log() {
    for reason in Reason::ALL {
        let status = status(&call(), *reason, StatusDetails::new(""));
        assert_eq!(code_name(status.into_http::<Body>().headers()), reason.code_name(), "{reason}");
    }
}

#[test]
fn every_status_has_its_reason_domain_and_request_id() {
    let status = from_refusal(&call(), &EdgeRefusal::TokenMissing);
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("TOKEN_MISSING", "keyassociation.v1"));
    assert_eq!(details.request_info().unwrap().request_id, "the-id");
    let [link] = &*details.help().unwrap().links else { panic!("{details:?}") };
    assert_eq!(link.url, "docs/errors.md#TOKEN_MISSING");
}

#[test]
fn the_status_does_not_say_what_is_wrong_with_a_token() {
    let reason = "signature does not verify";
    let status = from_refusal(&call(), &EdgeRefusal::Token { reason, token_id: Some("jti-7".into()) });
    let all = format!("{} {:?}", status.message(), status.get_error_details());
    assert!(!all.contains("signature") && !all.contains("jti-7"), "{all}");
}

#[test]
fn an_undecodable_body_is_an_invalid_argument() {
    let theirs = Status::internal("failed to decode Protobuf message: invalid tag").into_http();
    let (ours, reason) = normalize(theirs, &call(), "/keyassociation.v1.TenantService/GetCaller");
    assert_eq!(reason, Some(Reason::FieldInvalid));
    assert_eq!(code_name(ours.headers()), "INVALID_ARGUMENT");
}

#[test]
fn a_failure_with_a_pending_record_keeps_its_status_and_says_pending() {
    let answer = || AwsErrorDetails { code: "X".into(), ..AwsErrorDetails::default() };
    let bare = service::Error::Aws(service::AwsCallError::Conflict { answer: answer() });
    let late = service::Error::FailureNotRecorded {
        error: Box::new(service::Error::Aws(service::AwsCallError::Conflict { answer: answer() })),
    };
    let (bare, late) = (from_error(&call(), &bare), from_error(&call(), &late));
    assert_eq!(bare.code(), late.code());
    assert!(late.message().starts_with(bare.message()) && late.message().contains("pending"), "{late}");
    let (bare, late) = (bare.get_error_details(), late.get_error_details());
    assert_eq!(format!("{:?}", late.retry_info()), format!("{:?}", bare.retry_info()));
    let (mut metadata, bare) = (late.error_info().unwrap().metadata.clone(), bare.error_info().unwrap());
    assert_eq!(metadata.remove("audit_record").as_deref(), Some("pending"));
    assert_eq!((&metadata, &late.error_info().unwrap().reason), (&bare.metadata, &bare.reason));
}

#[test]
fn an_internal_error_hides_its_details() {
    let status = from_error(&call(), &service::Error::Internal("secret detail"));
    assert!(!status.message().contains("secret detail"));
}
