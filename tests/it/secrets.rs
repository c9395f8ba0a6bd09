//! No secret appears in any output. At log level `trace`, and with a Redis that requires a password, the
//! binary does the main job, rejects calls, meets faults and fails to reload. Then all its output is
//! searched.

mod postgres;
mod stage;

use logkey::{
    proto::{
        CheckKeyAssociationRequest, GetOnboardingRequest, ListAuditEventsRequest, ListKeyAssociationsRequest,
        TestAccessRequest, audit_service_client::AuditServiceClient, check_key_association_request::Target,
        tenant_service_client::TenantServiceClient,
    },
    sandbox::fault::{Effect, Fault, When},
};
use serde_json::json;
use tonic::Status;

use self::stage::{FAULTS, MAIN, REGION, Stage, account, group, key};
use crate::harness::Caller;

const ALL: &str = "logkey:read logkey:associate logkey:disassociate logkey:query-results logkey:audit";
/// The length of a part of a secret that is searched for.
const NEEDLE_LENGTH: usize = 16;

/// The errors that callers received.
#[derive(Default)]
struct ErrorOutput(Vec<u8>);

impl ErrorOutput {
    fn receive<T>(&mut self, answer: Result<T, Status>) {
        if let Err(status) = answer {
            self.0.extend(format!("{status:?} {status}\n").bytes());
            self.0.extend(status.details());
        }
    }
}

/// Calls that succeed, and some that fail.
async fn main_job(stage: &Stage, output: &mut ErrorOutput) {
    let caller = stage.caller(MAIN, ALL);
    let name = group(MAIN);
    for answer in [caller.associate(&name, &key(MAIN)).await, caller.associate(&name, "alias/none").await] {
        output.receive(answer);
    }
    output.receive(
        caller
            .associate_arn(&format!("arn:aws:logs:{REGION}:{}:query-result:*", account(MAIN)), &key(MAIN))
            .await,
    );
    output.receive(caller.get(&name).await);
    output.receive(caller.list(ListKeyAssociationsRequest::default()).await);
    let check = CheckKeyAssociationRequest {
        target: Some(Target::LogGroupName(name.clone())),
        kms_key_id: key(MAIN),
        ..Default::default()
    };
    output.receive(caller.keys().check_key_association(caller.request(check)).await);
    output.receive(caller.who_am_i().await);
    let mut tenants = TenantServiceClient::new(caller.channel());
    output.receive(
        tenants.get_onboarding(caller.request(GetOnboardingRequest { account_id: account(MAIN) })).await,
    );
    output.receive(tenants.test_access(caller.request(TestAccessRequest::default())).await);
    output.receive(caller.disassociate(&name).await);
    let mut audit = AuditServiceClient::new(caller.channel());
    output.receive(audit.list_audit_events(caller.request(ListAuditEventsRequest::default())).await);
}

/// Calls with rejected tokens, and rejected calls.
async fn refusals(stage: &Stage, output: &mut ErrorOutput) {
    let issuer = &stage.issuer;
    let good = stage.token(MAIN, ALL);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let reversed: String = signature.chars().rev().collect();
    let foreign_token = crate::harness::TestIssuer::new("key-1").token(MAIN, ALL);
    for token in [
        format!("{head}.{reversed}"),
        format!("{head}."),
        format!("{head}{signature}"),
        format!("{good}.{reversed}"),
        foreign_token,
        issuer.token_with(MAIN, ALL, &[("exp", json!(1))]),
        issuer.token_with(MAIN, ALL, &[("aud", json!("another"))]),
        issuer.token_with("nobody", ALL, &[]),
        issuer.token_with(MAIN, ALL, &[("jti", json!(null))]),
        issuer.token_with(MAIN, "logkey:read", &[]),
        format!("{}{}", "x".repeat(20_000), good),
    ] {
        stage.remember_token(&token);
        output.receive(Caller::new(stage.channel.clone(), &token).associate(&group(MAIN), &key(MAIN)).await);
    }
    let caller = stage.caller(MAIN, ALL);
    output.receive(caller.associate("/elsewhere", &key(MAIN)).await);
    output.receive(caller.associate("bad name", "bad key").await);
    output.receive(
        caller.associate_arn(&format!("arn:aws:logs:{REGION}:999999999999:log-group:x"), &key(MAIN)).await,
    );
}

/// Each fault affects a tenant whose role was not assumed before.
async fn faults(stage: &Stage, output: &mut ErrorOutput) {
    let denied = || Effect::Error {
        code: "AccessDenied".into(),
        message: Some("is not authorized to perform: sts:AssumeRole".into()),
        status: Some(403),
    };
    let effects = [
        denied(),
        Effect::Garbage,
        Effect::Truncate,
        Effect::Reset,
        Effect::ExpiredCredentials,
        Effect::Hang,
    ];
    for (tenant, effect) in FAULTS.iter().zip(effects) {
        let caller = stage.caller(tenant, ALL);
        let fault = |operation: &str| Fault {
            account: Some(account(tenant)),
            times: Some(3),
            when: if effect == Effect::Truncate { When::After } else { When::Before },
            ..Fault::on(operation, effect.clone())
        };
        stage.aws.sandbox().fault(fault("AssumeRole"));
        output.receive(caller.associate(&group(tenant), &key(tenant)).await);
        stage.aws.sandbox().fault(fault("AssociateKmsKey"));
        output.receive(caller.associate(&group(tenant), &key(tenant)).await);
        stage.aws.sandbox().fault(fault("DescribeLogGroups"));
        output.receive(caller.get(&group(tenant)).await);
    }
    // The external id of this tenant is not the one that AWS requires.
    let caller = stage.caller("mistaken", ALL);
    output.receive(caller.associate(&group("mistaken"), &key("mistaken")).await);
    let mut tenants = TenantServiceClient::new(caller.channel());
    output.receive(tenants.test_access(caller.request(TestAccessRequest::default())).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_logs_events_metrics_errors_or_command_output() {
    let mut stage = Stage::start().await;
    let mut output = ErrorOutput::default();
    main_job(&stage, &mut output).await;
    refusals(&stage, &mut output).await;
    faults(&stage, &mut output).await;
    stage.change_redis_password().await;
    output.receive(stage.caller(MAIN, ALL).associate(&group(MAIN), &key(MAIN)).await);

    let mut texts = vec![("errors", output.0)];
    texts.extend(stage.admin_port().await);
    stage.reload_invalid_settings().await;
    texts.extend(stage.commands());
    texts.extend(stage.end());

    // Searching text is much faster than searching bytes.
    let texts: Vec<(&str, String)> = texts
        .iter()
        .map(|(location, bytes)| (*location, String::from_utf8_lossy(bytes).into_owned()))
        .collect();
    // Proves that the log was verbose and that the features in question were used.
    for sign in [
        "\"TRACE\"",
        "aws_smithy_runtime",
        "\"h2",
        "AssociateKmsKey",
        "resolved identity",
        "AKIASANDBOXHUB",
        "ROLE_NOT_ASSUMABLE",
        "TOKEN_INVALID",
        "CloudWatch Logs.AssociateKmsKey",
    ] {
        assert!(texts.iter().any(|(_, text)| text.contains(sign)), "{sign} is in no output");
    }
    let secrets = stage.secrets();
    assert!(secrets.len() > 30, "{} secrets", secrets.len());
    let found = found_in(&texts, &secrets);
    assert!(found.is_empty(), "{}, such as {:#?}", found.len(), &found[..found.len().min(12)]);
}

/// Every secret that was found, and where.
fn found_in(texts: &[(&str, String)], secrets: &[(&str, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, secret) in secrets {
        for needle in needles(secret) {
            let matches =
                texts.iter().filter_map(|(location, text)| Some((location, text, text.find(&needle)?)));
            found.extend(
                matches.map(|(location, text, at)| format!("{name} is in {location}: {}", line(text, at))),
            );
        }
    }
    found
}

/// The forms in which a secret can appear: as text, as a list of numbers, or in hexadecimal.
fn needles(secret: &str) -> [String; 4] {
    let start = secret.get(..NEEDLE_LENGTH).unwrap();
    let end = secret.get(secret.len() - NEEDLE_LENGTH..).unwrap();
    let numbers: Vec<String> = start.bytes().map(|byte| byte.to_string()).collect();
    let hex: Vec<String> = start.bytes().map(|byte| format!("{byte:02x}")).collect();
    [start.to_owned(), end.to_owned(), numbers.join(", "), hex.concat()]
}

/// The start of the line at this position, long enough to identify its origin.
fn line(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let begin = before.rfind('\n').map_or(0, |at| at + 1);
    text.get(begin..).unwrap_or_default().lines().next().unwrap_or_default().chars().take(900).collect()
}
