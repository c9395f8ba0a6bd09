//! The steps of refusals: what a tenant may not do, and a refusal by AWS whose cause is found and repaired.

use std::time::Duration;

use tonic_types::StatusExt as _;

use super::{
    change_steps::{associate_request, associate_summary, change_summary},
    demo_call::DemoCall,
    show::Printer,
    world::{ALL_SCOPES, DemoEnvironment, LOCKED_KEY, ORDERS, PAYMENTS, StepResult, key_arn, key_seed},
};
use crate::proto::{
    self, AssociateKmsKeyRequest, GetCallerRequest, associate_kms_key_request::Target,
    key_association_service_client::KeyAssociationServiceClient, tenant_service_client::TenantServiceClient,
};

/// How many calls it sends at most to exceed a burst of three.
const BURST_CALLS: usize = 6;

pub(super) async fn all(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    Printer::chapter("What is refused");
    refusals(demo, printer).await?;
    exceed_rate(demo, printer).await?;
    repair(demo, printer).await
}

async fn refusals(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let other = AssociateKmsKeyRequest {
        account_id: ORDERS.into(),
        ..associate_request("/orders/api", "alias/first")
    };
    let invalid = AssociateKmsKeyRequest {
        account_id: "12".into(),
        region: "nowhere".into(),
        target: Some(Target::LogGroupName("two words".into())),
        kms_key_id: "no key".into(),
        reason: "line\nbreak".into(),
        ..Default::default()
    };
    let scope = associate_request("/payments/api", "alias/first");
    for (title, asked, message, scopes, reason) in [
        (
            "Another tenant's account does not exist for this one",
            format!("AssociateKmsKey {{ account_id: {ORDERS} }}"),
            other,
            ALL_SCOPES,
            "ACCOUNT_NOT_FOUND",
        ),
        (
            "A token without the scope",
            associate_summary("/payments/api", "alias/first"),
            scope,
            "logkey:read",
            "SCOPE_MISSING",
        ),
        (
            "Five invalid fields, all reported at once",
            associate_summary("two words", "no key"),
            invalid,
            ALL_SCOPES,
            "FIELD_INVALID",
        ),
    ] {
        let request = demo.request(message, "payments", scopes)?;
        let started = demo.started().await?;
        let result = KeyAssociationServiceClient::new(demo.channel()).associate_kms_key(request).await;
        let call = DemoCall::new(title, &asked, demo.took(started).await?, &result);
        printer.step(&call.must_be_refused(reason));
    }
    Ok(())
}

/// The tenant `orders` may make two calls per second, with a burst of three.
async fn exceed_rate(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let mut client = TenantServiceClient::new(demo.channel());
    let started = demo.started().await?;
    let mut result = None;
    for _ in 0..BURST_CALLS {
        let request = demo.request(GetCallerRequest {}, "orders", ALL_SCOPES)?;
        result = Some(client.get_caller(request).await);
        if matches!(result, Some(Err(_))) {
            break;
        }
    }
    let Some(result) = result else { return Err("no call was sent".into()) };
    let asked = format!("GetCaller {{}}, up to {BURST_CALLS} times in a row");
    let call =
        DemoCall::new("Too many calls for the tenant's rate", &asked, demo.took(started).await?, &result);
    printer.step(&call.must_be_refused("TENANT_RATE_LIMITED"));

    let wait =
        result.err().and_then(|status| status.get_details_retry_info()).and_then(|info| info.retry_delay);
    let wait = wait.unwrap_or(Duration::ZERO);
    tokio::time::sleep(wait).await;
    let request = demo.request(GetCallerRequest {}, "orders", ALL_SCOPES)?;
    let started = demo.started().await?;
    let result = client.get_caller(request).await;
    let asked = format!("GetCaller {{}}, after the {} ms that RetryInfo states", wait.as_millis());
    let describe = |it: &proto::GetCallerResponse| format!("tenant {}", it.tenant_id);
    let call = DemoCall::new("A call after that delay succeeds", &asked, demo.took(started).await?, &result);
    printer.step(&call.succeeds(describe, |it| it.tenant_id == "orders"));
    Ok(())
}

/// AWS says only that it refuses. The service finds the cause and returns the statement that is missing.
async fn repair(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let change = || demo.request(associate_request("/payments/web", "alias/locked"), "payments", ALL_SCOPES);
    let mut client = KeyAssociationServiceClient::new(demo.channel());
    let asked = associate_summary("/payments/web", "alias/locked");
    let started = demo.started().await?;
    let result = client.associate_kms_key(change()?).await;
    let title = "AWS refuses a key: the cause, and the statement to paste";
    let call = DemoCall::new(title, &asked, demo.took(started).await?, &result);
    printer.step(&call.must_be_refused("KEY_POLICY_LACKS_LOGS_SERVICE"));

    let info = result.err().and_then(|status| status.get_details_error_info());
    let statement = info.and_then(|mut info| info.metadata.remove("remedy_document")).unwrap_or_default();
    demo.change_aws(&key_seed(PAYMENTS, LOCKED_KEY, "alias/locked", &[&statement]))?;
    let started = demo.started().await?;
    let result = client.associate_kms_key(change()?).await;
    let asked = format!("the statement pasted into the key's policy, then\n{asked}");
    let call = DemoCall::new("With the statement it succeeds", &asked, demo.took(started).await?, &result);
    printer.step(&call.succeeds(change_summary, |it| {
        it.association.as_ref().is_some_and(|it| it.kms_key_arn == key_arn(PAYMENTS, LOCKED_KEY))
    }));
    Ok(())
}
