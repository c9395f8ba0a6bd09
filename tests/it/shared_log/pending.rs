//! A server that hangs between an intent and its outcome. The answer says that the record is pending, and the
//! record follows.

use logkey::{
    audit::parsed_event::ParsedEvent,
    proto::AssociateKmsKeyResponse,
    sandbox::fault::{Effect, Fault},
};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{assert_intact, readiness, until};
use crate::harness::{ALL, GROUP, PAYMENTS, Plan, Postgres, REGION, Service, key, reason};

/// Sets a key; the server hangs from the time of the call to AWS until the answer.
async fn associate_while_hung(
    service: &Service,
    postgres: &Postgres,
    id: &'static str,
) -> Result<AssociateKmsKeyResponse, Status> {
    let before = service.reached("AssociateKmsKey").len();
    let caller = service.caller("payments", ALL);
    let call = tokio::spawn(async move { caller.associate(GROUP, &key(id)).await });
    until("the call to AWS", async || service.reached("AssociateKmsKey").len() > before).await;
    postgres.hang();
    let answer = call.await.unwrap();
    postgres.resume();
    until("readiness", async || readiness(service.admin).await == 200).await;
    answer
}

async fn outcomes(service: &Service) -> Vec<ParsedEvent> {
    service.events().await.into_iter().filter(|event| event.kind == "outcome").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_written_is_pending_and_written_later() {
    let postgres = Postgres::start().await;
    let plan = Plan::default().settings("[server]\nrequest_timeout = \"3s\"\n");
    let service = plan.over(&postgres).start().await;
    let aws = service.sandbox.sandbox();
    aws.fault(Fault::on("AssociateKmsKey", Effect::Latency { ms: 1_000, jitter_ms: 0 }));

    let late = associate_while_hung(&service, &postgres, "good").await.unwrap_err();
    assert_eq!(reason(&late), "AUDIT_UNAVAILABLE", "{late}");
    let output = late.get_details_error_info().unwrap().metadata;
    assert_eq!((&*output["executed"], &*output["audit_record"]), ("true", "pending"), "{output:?}");
    assert!(output.contains_key("aws_request_id"), "{output:?}");
    assert_eq!(aws.log_group_key(PAYMENTS, REGION, GROUP), Some(key("good")));
    until("the outcome", async || outcomes(&service).await.len() == 1).await;

    // A refusal by AWS is reported as such, and its record is pending too.
    let late = associate_while_hung(&service, &postgres, "closed").await.unwrap_err();
    assert_eq!(reason(&late), "KEY_POLICY_LACKS_LOGS_SERVICE", "{late}");
    assert!(late.message().contains("audit log is still pending"), "{late}");
    assert_eq!(late.get_details_error_info().unwrap().metadata["audit_record"], "pending");
    until("the outcome", async || outcomes(&service).await.len() == 2).await;

    let events = service.events().await;
    let intents: Vec<&String> =
        events.iter().filter(|event| event.kind == "intent").map(|event| &event.id).collect();
    let ends = outcomes(&service).await;
    let closed: Vec<&String> = ends.iter().filter_map(|event| event.closes.as_ref()).collect();
    assert_eq!(closed, intents, "each intent has exactly one outcome");
    let output: Vec<Option<&str>> = ends.iter().map(|event| event.outcome.as_deref()).collect();
    assert_eq!(output, [Some("OK"), Some("KEY_POLICY_LACKS_LOGS_SERVICE")]);
    assert_intact(&service, &postgres).await;
    service.stop().await;
}
