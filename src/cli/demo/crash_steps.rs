//! The steps of a crash: kill the service after AWS made a change and before the service knows, and start it
//! again. It finds out what happened.

use std::time::{Duration, Instant};

use tonic::{Response, Status};

use super::{
    change_steps::{associate_request, associate_summary},
    demo_call::DemoCall,
    show::Printer,
    took::Started,
    world::{ALL_SCOPES, DemoEnvironment, NEXT_KEY, PAYMENTS, StepResult, key_arn},
};
use crate::{
    proto::{
        AssociateKmsKeyRequest, AuditEvent, AuditEventFilter, ListAuditEventsRequest,
        audit_service_client::AuditServiceClient,
        key_association_service_client::KeyAssociationServiceClient,
    },
    sandbox::fault::{Effect, Fault, When},
};

/// The log group of the interrupted change.
const GROUP: &str = "/payments/batch";
/// How long it waits for AWS, and for the service to find out what happened.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often it looks.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub(super) async fn all(demo: &mut DemoEnvironment, printer: &mut Printer) -> StepResult {
    Printer::chapter("Killed in the middle of a change");
    let request_id = uuid::Uuid::new_v4().to_string();
    kill(demo, printer, &request_id).await?;
    reconcile(demo, printer, &request_id).await
}

async fn kill(demo: &mut DemoEnvironment, printer: &mut Printer, request_id: &str) -> StepResult {
    // AWS makes the change, and its answer never arrives.
    demo.fault(Fault { when: When::After, ..Fault::on("AssociateKmsKey", Effect::Hang).times(1) });
    let message =
        AssociateKmsKeyRequest { request_id: request_id.into(), ..associate_request(GROUP, "alias/next") };
    let mut request = demo.request(message, "payments", ALL_SCOPES)?;
    request.metadata_mut().insert("x-request-id", request_id.parse()?);
    let mut client = KeyAssociationServiceClient::new(demo.channel());
    let started = demo.started().await?;
    let calling = tokio::spawn(async move { client.associate_kms_key(request).await });
    let deadline = Instant::now() + TIMEOUT;
    while demo.key_in_aws(PAYMENTS, GROUP).is_none() && Instant::now() < deadline {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    demo.kill_service()?;
    let result = match calling.await? {
        // The connection broke: nobody knows what became of the change.
        Err(status) => Ok(Response::new(status)),
        Ok(_answered) => Err(Status::internal("the change was answered before the kill")),
    };
    let asked =
        format!("{}\nthen kill -9 while AWS's answer is on its way", associate_summary(GROUP, "alias/next"));
    let took = started.took_without_calls();
    let call = DemoCall::new("kill -9 in the middle of a change", &asked, took, &result);
    let describe = |status: &Status| format!("{:?}: {}", status.code(), status.message());
    let changed = demo.key_in_aws(PAYMENTS, GROUP) == Some(key_arn(PAYMENTS, NEXT_KEY));
    printer.step(&call.succeeds(describe, |_status| changed));
    Ok(())
}

async fn reconcile(demo: &mut DemoEnvironment, printer: &mut Printer, request_id: &str) -> StepResult {
    let started = Started::without_calls();
    demo.restart_service().await?;
    let deadline = Instant::now() + TIMEOUT;
    let result = loop {
        let events = events_of(demo, request_id).await?;
        if events.iter().any(|event| event.kind == "settled") {
            break Ok(Response::new(events));
        }
        if Instant::now() > deadline {
            break Err(Status::deadline_exceeded("the change was not reconciled in time"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    let title = "After a restart it reads from AWS what became of the change";
    let asked = "logkey serve, then ListAuditEvents { correlation_id: its request id }";
    let call = DemoCall::new(title, asked, started.took_without_calls(), &result);
    printer.step(&call.succeeds(
        |events| events.iter().map(summary).collect::<Vec<_>>().join("\n"),
        |events| {
            let kinds: Vec<(&str, &str)> = events.iter().map(|it| (&*it.kind, &*it.outcome)).collect();
            kinds == [("intent", ""), ("settled", "in force")]
        },
    ));
    Ok(())
}

/// The events of a call, oldest first.
async fn events_of(
    demo: &DemoEnvironment,
    request_id: &str,
) -> Result<Vec<AuditEvent>, Box<dyn std::error::Error>> {
    let filter = AuditEventFilter { correlation_id: request_id.into(), ..Default::default() };
    let message = ListAuditEventsRequest { filter: Some(filter), ..Default::default() };
    let request = demo.request(message, "payments", ALL_SCOPES)?;
    let listed = AuditServiceClient::new(demo.channel()).list_audit_events(request).await?;
    let mut events = listed.into_inner().events;
    events.reverse();
    Ok(events)
}

fn summary(event: &AuditEvent) -> String {
    let outcome = if event.outcome.is_empty() { "before AWS was called" } else { &event.outcome };
    format!("event {}: {} {}: {outcome}", event.position, event.kind, event.action)
}
