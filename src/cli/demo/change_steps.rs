//! The steps of single changes: set a key, replace it, read it back, and ask whether the former key may go.

use super::{
    demo_call::DemoCall,
    show::Printer,
    world::{ALL_SCOPES, DemoEnvironment, FIRST_KEY, NEXT_KEY, PAYMENTS, StepResult, key_arn},
};
use crate::proto::{
    self, AssociateKmsKeyRequest, DeletionVerdict, GetCallerRequest, GetKeyAssociationRequest,
    GetKeyUsageRequest, KeyAssociation, associate_kms_key_request::Target, get_key_association_request,
    key_association_service_client::KeyAssociationServiceClient, tenant_service_client::TenantServiceClient,
};

/// The reason of the first change; the audit log has it.
pub(super) const REASON: &str = "DEMO-1";

pub(super) async fn all(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    Printer::chapter("One change");
    whoami(demo, printer).await?;
    associate(demo, printer).await?;
    read_back(demo, printer).await?;
    usage(demo, printer).await
}

async fn whoami(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let request = demo.request(GetCallerRequest {}, "payments", ALL_SCOPES)?;
    let started = demo.started().await?;
    let result = TenantServiceClient::new(demo.channel()).get_caller(request).await;
    let describe = |it: &proto::GetCallerResponse| {
        let account = it.accounts.first().map(|account| account.account_id.as_str()).unwrap_or_default();
        format!("tenant {}, subject {}, account {account}", it.tenant_id, it.subject)
    };
    let title = "Which tenant and caller does the service recognize?";
    let call = DemoCall::new(title, "GetCaller {}", demo.took(started).await?, &result);
    printer.step(&call.succeeds(describe, |it| it.tenant_id == "payments" && it.accounts.len() == 1));
    Ok(())
}

async fn associate(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    for (title, group, alias, id) in [
        ("Set a key on a log group", "/payments/api", "alias/first", FIRST_KEY),
        (
            "Set it on another one: AWS allows five changes a second",
            "/payments/web",
            "alias/first",
            FIRST_KEY,
        ),
        ("Replace the first key by another", "/payments/api", "alias/next", NEXT_KEY),
    ] {
        let request = demo.request(associate_request(group, alias), "payments", ALL_SCOPES)?;
        let started = demo.started().await?;
        let result = KeyAssociationServiceClient::new(demo.channel()).associate_kms_key(request).await;
        let asked = associate_summary(group, alias);
        let call = DemoCall::new(title, &asked, demo.took(started).await?, &result);
        printer.step(&call.succeeds(change_summary, |it| {
            it.association.as_ref().is_some_and(|it| it.kms_key_arn == key_arn(PAYMENTS, id))
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
    let started = demo.started().await?;
    let result = KeyAssociationServiceClient::new(demo.channel()).get_key_association(request).await;
    let describe =
        |it: &proto::GetKeyAssociationResponse| it.association.as_ref().map(summary).unwrap_or_default();
    let asked = "GetKeyAssociation { log_group_name: /payments/api }";
    let call = DemoCall::new("Read the key back from AWS", asked, demo.took(started).await?, &result);
    printer.step(&call.succeeds(describe, |it| {
        it.association.as_ref().is_some_and(|it| {
            it.kms_key_arn == key_arn(PAYMENTS, NEXT_KEY)
                && it.previous_kms_key_arn == key_arn(PAYMENTS, FIRST_KEY)
                && it.source() == proto::Source::Live
                && it.key_health() == proto::KeyHealth::Usable
        })
    }));
    Ok(())
}

/// The first key is still set on one log group, and protects data of the other.
async fn usage(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let message = GetKeyUsageRequest { kms_key_id: "alias/first".into(), ..Default::default() };
    let request = demo.request(message, "payments", ALL_SCOPES)?;
    let started = demo.started().await?;
    let result = KeyAssociationServiceClient::new(demo.channel()).get_key_usage(request).await;
    let asked = "GetKeyUsage { kms_key_id: alias/first }";
    let call = DemoCall::new("May I delete the first key?", asked, demo.took(started).await?, &result);
    printer.step(&call.succeeds(usage_summary, |it| {
        it.verdict() == DeletionVerdict::InUse
            && it.uses.iter().any(|it| it.in_use)
            && it.uses.iter().any(|it| !it.in_use && it.protects_until_time.is_some())
    }));
    Ok(())
}

pub(super) fn associate_request(group: &str, key: &str) -> AssociateKmsKeyRequest {
    AssociateKmsKeyRequest {
        target: Some(Target::LogGroupName(group.into())),
        kms_key_id: key.into(),
        reason: REASON.into(),
        ..Default::default()
    }
}

pub(super) fn associate_summary(group: &str, key: &str) -> String {
    format!("AssociateKmsKey {{ log_group_name: {group}, kms_key_id: {key} }}")
}

pub(super) fn change_summary(it: &proto::AssociateKmsKeyResponse) -> String {
    let changed = it.association.as_ref().map(summary).unwrap_or_default();
    let warnings = it.warnings.iter().map(|it| format!("\nwarning {}", it.code));
    format!("{changed}\naudit event {}{}", it.audit_event_id, warnings.collect::<String>())
}

fn summary(it: &KeyAssociation) -> String {
    let state = it.state().as_str_name().trim_start_matches("STATE_");
    let source = it.source().as_str_name().trim_start_matches("SOURCE_");
    let resource = it.resource_arn.rsplit(':').next().unwrap_or_default();
    format!("{resource}: {}, {state}, {source}", key_name(&it.kms_key_arn))
}

/// A key without the account and Region of its ARN.
fn key_name(arn: &str) -> &str {
    arn.rsplit(':').next().filter(|name| !name.is_empty()).unwrap_or("the AWS-owned default")
}

fn usage_summary(it: &proto::GetKeyUsageResponse) -> String {
    let verdict = it.verdict().as_str_name().trim_start_matches("DELETION_VERDICT_");
    let uses = it.uses.iter().map(|it| {
        let resource = it.resource_arn.rsplit(':').next().unwrap_or_default();
        match &it.protects_until_time {
            _ if it.in_use => format!("\n{resource}: the key is set"),
            Some(until) => format!("\n{resource}: a former key, protects data until {until}"),
            None => format!("\n{resource}: a former key"),
        }
    });
    format!("no: {verdict}{}", uses.collect::<String>())
}
