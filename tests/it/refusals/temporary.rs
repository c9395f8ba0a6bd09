//! Refusals that pass by themselves.

use logkey::{
    proto::AssociateKmsKeyRequest,
    sandbox::fault::{Effect, Fault},
};
use tonic::Response;

use super::*;
use crate::harness::on_group;

fn not_yet() -> Effect {
    let message = format!(
        "The specified KMS key does not exist or is not allowed to be used with Arn \
         'arn:aws:logs:{REGION}:{PAYMENTS}:log-group:{GROUP}'"
    );
    Effect::Error { code: "AccessDeniedException".to_owned(), message: Some(message), status: None }
}

#[tokio::test]
async fn a_key_made_moments_ago_is_retried_within_the_call() {
    let service = start(aws_with(role()), "").await;
    service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", not_yet()).times(1));
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    assert_eq!(service.reached("AssociateKmsKey").len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn a_refusal_that_lasts_until_the_deadline_can_be_repeated_with_its_request_id() {
    // The client itself has no deadline, so it gets the answer of a slow service, too.
    let settings = "[server]\nrequest_timeout = \"5s\"\n";
    let service = Plan::default().aws(|_| aws_with(role())).settings(settings).start().await;
    service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", not_yet()));
    let caller = service.caller("payments", ALL);
    let send = async || {
        let request_id = "7e3f0a2c-9b1d-4c3e-8f5a-6d7c8b9a0e1f".to_owned();
        let message = AssociateKmsKeyRequest { request_id, ..on_group(GROUP, &key("good")) };
        caller.keys().associate_kms_key(caller.request(message)).await.map(Response::into_inner)
    };
    let status = send().await.unwrap_err();
    assert_eq!(reason(&status), "KEY_NOT_USABLE", "{status:?}");
    assert!(status.get_details_retry_info().and_then(|retry| retry.retry_delay).is_some(), "{status:?}");
    service.sandbox.sandbox().clear_faults();
    send().await.unwrap();
    service.stop().await;
}
