//! The steps of the demo, in order, each with the response that it must get.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use tonic_types::StatusExt as _;

use super::{
    demo_call::DemoCall,
    show::Printer,
    world::{ALL_SCOPES, DemoEnvironment, GOOD_KEY, LOCKED_KEY, NEXT_KEY, ORDERS, PAYMENTS, REGION},
};
use crate::proto::{
    self, AssociateKmsKeyRequest, DisassociateKmsKeyRequest, GetCallerRequest, GetKeyAssociationRequest,
    KeyAssociation, ListKeyAssociationsRequest, associate_kms_key_request::Target,
    disassociate_kms_key_request, get_key_association_request,
    key_association_service_client::KeyAssociationServiceClient, tenant_service_client::TenantServiceClient,
};

type StepResult = Result<(), Box<dyn Error>>;

/// How many calls it sends at most to exceed a burst of three.
const BURST_CALLS: usize = 6;

pub(super) async fn all(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    whoami(demo, printer).await?;
    associate(demo, printer).await?;
    read_back(demo, printer).await?;
    list(demo, printer).await?;
    disassociate(demo, printer).await?;
    query_results(demo, printer).await?;
    refusals(demo, printer).await?;
    exceed_rate(demo, printer).await
}

async fn whoami(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let request = demo.request(GetCallerRequest {}, "payments", ALL_SCOPES)?;
    let started = Instant::now();
    let result = TenantServiceClient::new(demo.channel()).get_caller(request).await;
    let describe = |it: &proto::GetCallerResponse| {
        let account = it.accounts.first().map(|account| account.account_id.as_str()).unwrap_or_default();
        format!("tenant {}, subject {}, account {account}", it.tenant_id, it.subject)
    };
    printer.step(
        &DemoCall::new(
            "Which tenant and caller does the service recognize?",
            "GetCaller {}",
            started,
            &result,
        )
        .succeeds(describe, |it| it.tenant_id == "payments" && it.accounts.len() == 1),
    );
    Ok(())
}

async fn associate(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let by_arn = format!("arn:aws:logs:{REGION}:{PAYMENTS}:log-group:/payments/web");
    for (title, target, id) in [
        ("Set a key on a log group by its name", name("/payments/api"), GOOD_KEY),
        (
            "… on one whose name contains '#', which an ARN cannot contain",
            name("/payments/batch#eu"),
            GOOD_KEY,
        ),
        ("… on one by its ARN", Target::ResourceIdentifier(by_arn), GOOD_KEY),
        ("… and replace the first key by another", name("/payments/api"), NEXT_KEY),
    ] {
        let message = associate_request(target, id);
        let command = associate_summary(&message);
        let request = demo.request(message, "payments", ALL_SCOPES)?;
        let started = Instant::now();
        let result = KeyAssociationServiceClient::new(demo.channel()).associate_kms_key(request).await;
        printer.step(&DemoCall::new(title, &command, started, &result).succeeds(change_summary, |it| {
            it.association.as_ref().is_some_and(|it| it.kms_key_arn == arn(PAYMENTS, id))
                && !it.audit_event_id.is_empty()
                && !it.aws_request_id.is_empty()
        }));
    }
    Ok(())
}

async fn read_back(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let target = Some(get_key_association_request::Target::LogGroupName("/payments/api".into()));
    let message = GetKeyAssociationRequest { target, ..Default::default() };
    let request = demo.request(message, "payments", ALL_SCOPES)?;
    let started = Instant::now();
    let result = KeyAssociationServiceClient::new(demo.channel()).get_key_association(request).await;
    let describe =
        |it: &proto::GetKeyAssociationResponse| it.association.as_ref().map(summary).unwrap_or_default();
    let request = "GetKeyAssociation { log_group_name: /payments/api }";
    printer.step(&DemoCall::new("Read the key back from AWS", request, started, &result).succeeds(
        describe,
        |it| {
            it.association.as_ref().is_some_and(|it| {
                it.kms_key_arn == arn(PAYMENTS, NEXT_KEY)
                    && it.previous_kms_key_arn == arn(PAYMENTS, GOOD_KEY)
                    && it.source() == proto::Source::Live
                    && it.key_health() == proto::KeyHealth::Usable
            })
        },
    ));
    Ok(())
}

async fn list(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let request = demo.request(ListKeyAssociationsRequest::default(), "payments", ALL_SCOPES)?;
    let started = Instant::now();
    let result = KeyAssociationServiceClient::new(demo.channel()).list_key_associations(request).await;
    let describe = |it: &proto::ListKeyAssociationsResponse| {
        it.associations.iter().map(summary).collect::<Vec<_>>().join("\n")
    };
    let title = "List what the tenant may see: the account's other log groups stay hidden";
    printer.step(&DemoCall::new(title, "ListKeyAssociations {}", started, &result).succeeds(
        describe,
        |it| {
            it.associations.len() == 3
                && it.associations.iter().all(|it| it.resource_arn.contains(":/payments/"))
        },
    ));
    Ok(())
}

async fn disassociate(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let target = Some(disassociate_kms_key_request::Target::LogGroupName("/payments/api".into()));
    let message = DisassociateKmsKeyRequest { target, reason: "DEMO-2".into(), ..Default::default() };
    let request = demo.request(message, "payments", ALL_SCOPES)?;
    let started = Instant::now();
    let result = KeyAssociationServiceClient::new(demo.channel()).disassociate_kms_key(request).await;
    let request = "DisassociateKmsKey { log_group_name: /payments/api, reason: DEMO-2 }";
    let describe = |it: &proto::DisassociateKmsKeyResponse| {
        with_warnings(it.association.as_ref().map(summary).unwrap_or_default(), &it.warnings)
    };
    let title = "Remove the key; a warning names the former key that still protects data";
    printer.step(
        &DemoCall::new(title, request, started, &result).succeeds(describe, |it| {
            it.warnings.iter().any(|it| it.code == "FORMER_KEY_STILL_PROTECTS_DATA")
        }),
    );
    Ok(())
}

async fn query_results(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let target = format!("arn:aws:logs:{REGION}:{PAYMENTS}:query-result:*");
    let message = associate_request(Target::ResourceIdentifier(target.clone()), GOOD_KEY);
    let command = associate_summary(&message);
    let request = demo.request(message, "payments", ALL_SCOPES)?;
    let started = Instant::now();
    let mut client = KeyAssociationServiceClient::new(demo.channel());
    let result = client.associate_kms_key(request).await;
    let title = "Set the key of the account's stored query results";
    printer.step(
        &DemoCall::new(title, &command, started, &result).succeeds(change_summary, |it| {
            it.association.as_ref().is_some_and(|it| it.resource_arn == target)
        }),
    );

    let read = get_key_association_request::Target::ResourceIdentifier(target.clone());
    let message = GetKeyAssociationRequest { target: Some(read), ..Default::default() };
    let request = demo.request(message, "payments", ALL_SCOPES)?;
    let started = Instant::now();
    let result = client.get_key_association(request).await;
    let describe =
        |it: &proto::GetKeyAssociationResponse| it.association.as_ref().map(summary).unwrap_or_default();
    let request = format!("GetKeyAssociation {{ resource_identifier: {target} }}");
    let title = "… and read it from the service's record, because AWS has no call for it";
    printer.step(&DemoCall::new(title, &request, started, &result).succeeds(describe, |it| {
        it.association.as_ref().is_some_and(|it| {
            it.source() == proto::Source::Recorded && it.kms_key_arn == arn(PAYMENTS, GOOD_KEY)
        })
    }));
    Ok(())
}

async fn refusals(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let other = AssociateKmsKeyRequest {
        account_id: ORDERS.into(),
        ..associate_request(name("/orders/api"), GOOD_KEY)
    };
    let hidden = associate_request(name("/aws/lambda/of-someone-else"), GOOD_KEY);
    let invalid = AssociateKmsKeyRequest {
        account_id: "12".into(),
        region: "nowhere".into(),
        target: Some(name("two words")),
        kms_key_id: "no key".into(),
        reason: "line\nbreak".into(),
        ..Default::default()
    };
    for (title, message, scopes, reason) in [
        ("Denied: another tenant's account", other, ALL_SCOPES, "ACCOUNT_NOT_FOUND"),
        ("Denied: a log group that is not granted to the tenant", hidden, ALL_SCOPES, "LOG_GROUP_NOT_FOUND"),
        (
            "Denied: a token without the scope",
            associate_request(name("/payments/api"), GOOD_KEY),
            "logkey:read",
            "SCOPE_MISSING",
        ),
        (
            "Refused by AWS: the key's policy does not let CloudWatch Logs use the key",
            associate_request(name("/payments/api"), LOCKED_KEY),
            ALL_SCOPES,
            "KEY_POLICY_LACKS_LOGS_SERVICE",
        ),
        ("Rejected: five invalid fields, all reported at once", invalid, ALL_SCOPES, "FIELD_INVALID"),
    ] {
        let command = associate_summary(&message);
        let request = demo.request(message, "payments", scopes)?;
        let started = Instant::now();
        let result = KeyAssociationServiceClient::new(demo.channel()).associate_kms_key(request).await;
        printer.step(&DemoCall::new(title, &command, started, &result).must_be_refused(reason));
    }
    Ok(())
}

/// The tenant `orders` may make two calls per second, with a burst of three.
async fn exceed_rate(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let mut client = TenantServiceClient::new(demo.channel());
    let started = Instant::now();
    let mut result = None;
    for _ in 0..BURST_CALLS {
        let request = demo.request(GetCallerRequest {}, "orders", ALL_SCOPES)?;
        result = Some(client.get_caller(request).await);
        if matches!(result, Some(Err(_))) {
            break;
        }
    }
    let Some(result) = result else { return Err("no call was sent".into()) };
    let request = format!("GetCaller {{}}, up to {BURST_CALLS} times in a row");
    printer.step(
        &DemoCall::new("Rejected: too many calls for the tenant's rate", &request, started, &result)
            .must_be_refused("TENANT_RATE_LIMITED"),
    );

    let wait =
        result.err().and_then(|status| status.get_details_retry_info()).and_then(|info| info.retry_delay);
    let wait = wait.unwrap_or(Duration::ZERO);
    tokio::time::sleep(wait).await;
    let request = demo.request(GetCallerRequest {}, "orders", ALL_SCOPES)?;
    let started = Instant::now();
    let result = client.get_caller(request).await;
    let request = format!("GetCaller {{}}, after the {} ms that RetryInfo states", wait.as_millis());
    let describe = |it: &proto::GetCallerResponse| format!("tenant {}", it.tenant_id);
    printer.step(
        &DemoCall::new("… and a call after that delay succeeds", &request, started, &result)
            .succeeds(describe, |it| it.tenant_id == "orders"),
    );
    Ok(())
}

fn name(name: &str) -> Target {
    Target::LogGroupName(name.into())
}

fn arn(account: &str, id: &str) -> String {
    format!("arn:aws:kms:{REGION}:{account}:key/{id}")
}

fn associate_request(target: Target, id: &str) -> AssociateKmsKeyRequest {
    AssociateKmsKeyRequest {
        target: Some(target),
        kms_key_id: arn(PAYMENTS, id),
        reason: "DEMO-1".into(),
        ..Default::default()
    }
}

fn associate_summary(it: &AssociateKmsKeyRequest) -> String {
    let target = match &it.target {
        Some(Target::LogGroupName(name)) => format!("log_group_name: {name}"),
        Some(Target::ResourceIdentifier(arn)) => format!("resource_identifier: {arn}"),
        None => String::new(),
    };
    format!("AssociateKmsKey {{ {target}, kms_key_id: {} }}", it.kms_key_id)
}

fn summary(it: &KeyAssociation) -> String {
    let key = if it.kms_key_arn.is_empty() { "the AWS-owned default" } else { &it.kms_key_arn };
    let state = it.state().as_str_name().trim_start_matches("STATE_");
    let source = it.source().as_str_name().trim_start_matches("SOURCE_");
    let resource = it.resource_arn.splitn(6, ':').last().unwrap_or_default();
    format!("{resource} → {key} ({state}, {source})")
}

fn change_summary(it: &proto::AssociateKmsKeyResponse) -> String {
    let changed = it.association.as_ref().map(summary).unwrap_or_default();
    with_warnings(format!("{changed}\naudit event {}", it.audit_event_id), &it.warnings)
}

fn with_warnings(text: String, warnings: &[proto::Warning]) -> String {
    warnings.iter().fold(text, |text, it| format!("{text}\nwarning {}: {}", it.code, it.message))
}
