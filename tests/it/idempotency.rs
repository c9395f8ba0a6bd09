//! Changes with an idempotency key, through the whole service and its real store.

use logkey::{
    proto::{AssociateKmsKeyRequest, DisassociateKmsKeyRequest, disassociate_kms_key_request},
    sandbox::fault::{Effect, Fault},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{ALL, Caller, GROUP, PAYMENTS, Plan, REGION, Service, key, on_group, reason};

const ID: &str = "6f1c8f0e-9d0b-4f0e-8a51-0c4c1b0c6d11";

fn with_id(group: &str, key: &str) -> AssociateKmsKeyRequest {
    AssociateKmsKeyRequest { request_id: ID.into(), ..on_group(group, key) }
}

fn code_and_reason(status: &Status) -> (Code, String) {
    (status.code(), reason(status))
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_response_after_a_restart() {
    let service = Service::start().await;
    let first = service.caller("payments", ALL).send(with_id(GROUP, &key("good"))).await.unwrap();
    let again = service.caller("payments", ALL).send(with_id(GROUP, &key("good"))).await.unwrap();
    assert_eq!(again, first);
    // The id may have upper-case letters.
    let upper_case = AssociateKmsKeyRequest { request_id: ID.to_uppercase(), ..with_id(GROUP, &key("good")) };
    assert_eq!(service.caller("payments", ALL).send(upper_case).await.unwrap(), first);

    let service = service.restart().await;
    let caller = service.caller("payments", ALL);
    assert_eq!(caller.send(with_id(GROUP, &key("good"))).await.unwrap(), first);
    assert_eq!(service.reached("AssociateKmsKey").len(), 1);
    let other = caller.send(with_id(GROUP, &key("next"))).await.unwrap_err();
    assert_eq!(code_and_reason(&other), (Code::InvalidArgument, "REQUEST_ID_REUSED".into()));
    let target = disassociate_kms_key_request::Target::LogGroupName(GROUP.into());
    let disassociation = DisassociateKmsKeyRequest {
        target: Some(target),
        request_id: ID.into(),
        ..DisassociateKmsKeyRequest::default()
    };
    let other = caller.keys().disassociate_kms_key(caller.request(disassociation)).await.unwrap_err();
    assert_eq!(code_and_reason(&other), (Code::InvalidArgument, "REQUEST_ID_REUSED".into()));
    assert_eq!(service.reached("DisassociateKmsKey").len(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_repeated_disassociation_gets_the_same_response() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    let disassociate = || async {
        let target = disassociate_kms_key_request::Target::LogGroupName(GROUP.into());
        let message = DisassociateKmsKeyRequest {
            target: Some(target),
            request_id: ID.into(),
            ..DisassociateKmsKeyRequest::default()
        };
        caller.keys().disassociate_kms_key(caller.request(message)).await.unwrap().into_inner()
    };
    let first = disassociate().await;
    assert_eq!(first.association.as_ref().unwrap().former_keys[0].kms_key_arn, key("good"));
    assert_eq!(disassociate().await, first);
    assert_eq!(service.reached("DisassociateKmsKey").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn two_tenants_can_use_the_same_request_id() {
    let service = Service::start().await;
    service.caller("payments", ALL).send(with_id(GROUP, &key("good"))).await.unwrap();
    let theirs = key("good").replace(PAYMENTS, crate::harness::ORDERS);
    let answer = service.caller("orders", ALL).send(with_id("/orders/api", &theirs)).await.unwrap();
    assert_eq!(answer.association.unwrap().kms_key_arn, theirs);
    service.stop().await;
}

#[tokio::test]
async fn concurrent_requests_with_one_id_make_one_change() {
    let service = Service::start().await;
    let latency = Effect::Latency { ms: 300, jitter_ms: 0 };
    service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", latency));
    let caller = service.caller("payments", ALL);
    let calls = (0..8).map(|_| caller.send(with_id(GROUP, &key("good"))));
    let answers: Vec<_> = futures_util::future::join_all(calls).await;
    let first = answers[0].as_ref().unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first), "{answers:#?}");
    assert_eq!(service.reached("AssociateKmsKey").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_recorded_error_is_replayed_with_its_remedy_after_a_restart() {
    let service = Service::start().await;
    let first = service.caller("payments", ALL).send(with_id(GROUP, &key("closed"))).await.unwrap_err();
    let service = service.restart().await;
    let caller = service.caller("payments", ALL);
    let again = caller.send(with_id(GROUP, &key("closed"))).await.unwrap_err();
    assert_eq!(code_and_reason(&again), code_and_reason(&first));
    let metadata = |status: &Status| status.get_details_error_info().unwrap().metadata;
    assert_eq!(metadata(&again)["remedy_document"], metadata(&first)["remedy_document"]);
    assert!(metadata(&again).contains_key("first_audit_event_id"));
    assert_eq!(service.reached("AssociateKmsKey").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_change_without_a_response_is_read_back_and_not_repeated() {
    // The deadline is the service's: a client that measures one itself may end the call with another code.
    let service = Plan::default().settings("[server]\nrequest_timeout = \"3s\"\n").start().await;
    service.caller("payments", ALL).get(GROUP).await.unwrap();
    // AWS makes the change, and its response never arrives.
    service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", Effect::Hang).after());
    let caller: Caller = service.caller("payments", ALL);
    let lost = caller.send(with_id(GROUP, &key("good"))).await.unwrap_err();
    assert_eq!(lost.code(), Code::DeadlineExceeded);
    service.sandbox.sandbox().clear_faults();
    assert_eq!(service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, GROUP), Some(key("good")));

    let sent = service.reached("AssociateKmsKey").len();
    let answer = caller.send(with_id(GROUP, &key("good"))).await.unwrap();
    assert_eq!(answer.association.unwrap().kms_key_arn, key("good"));
    assert_eq!(answer.warnings[0].code, "OUTCOME_READ_BACK");
    assert_eq!(service.reached("AssociateKmsKey").len(), sent);
    service.stop().await;
}
