//! No secret anywhere: the binary does the main job, refuses, meets faults and fails to reload, all at the
//! log level `trace`, with Redis behind a password; then whatever it said is searched.

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
/// As much of a secret as can be recognised.
const TELLING: usize = 16;

/// What callers were told of errors.
#[derive(Default)]
struct Answered(Vec<u8>);

impl Answered {
    fn receive<T>(&mut self, answer: Result<T, Status>) {
        if let Err(status) = answer {
            self.0.extend(format!("{status:?} {status}\n").bytes());
            self.0.extend(status.details());
        }
    }
}

/// Everything that goes well.
async fn main_job(stage: &Stage, output: &mut Answered) {
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

/// Tokens that are refused, and calls that are.
async fn refusals(stage: &Stage, output: &mut Answered) {
    let issuer = &stage.issuer;
    let good = stage.token(MAIN, ALL);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let reversed: String = signature.chars().rev().collect();
    let stranger = crate::harness::TestIssuer::new("key-1").token(MAIN, ALL);
    for token in [
        format!("{head}.{reversed}"),
        format!("{head}."),
        format!("{head}{signature}"),
        format!("{good}.{reversed}"),
        stranger,
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

/// Each fault meets a tenant whose role was not assumed before.
async fn faults(stage: &Stage, output: &mut Answered) {
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
    // Its external id is not the one that AWS asks for.
    let caller = stage.caller("mistaken", ALL);
    output.receive(caller.associate(&group("mistaken"), &key("mistaken")).await);
    let mut tenants = TenantServiceClient::new(caller.channel());
    output.receive(tenants.test_access(caller.request(TestAccessRequest::default())).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_logs_events_metrics_errors_or_what_commands_print() {
    let mut stage = Stage::start().await;
    let mut output = Answered::default();
    main_job(&stage, &mut output).await;
    refusals(&stage, &mut output).await;
    faults(&stage, &mut output).await;
    stage.redis_takes_another_password().await;
    output.receive(stage.caller(MAIN, ALL).associate(&group(MAIN), &key(MAIN)).await);

    let mut texts = vec![("errors", output.0)];
    texts.extend(stage.admin_port().await);
    stage.reload_with_a_fault().await;
    texts.extend(stage.commands());
    texts.extend(stage.end());

    // Texts are searched much faster than bytes.
    let texts: Vec<(&str, String)> = texts
        .iter()
        .map(|(location, bytes)| (*location, String::from_utf8_lossy(bytes).into_owned()))
        .collect();
    // It was not quiet, and what is looked for was really in use.
    for sign in [
        "\"TRACE\"",
        "aws_smithy_runtime",
        "\"h2",
        "AssociateKmsKey",
        "resolved identity",
        "AKIASANDBOXHUB",
        "ROLE_NOT_ASSUMABLE",
        "TOKEN_INVALID",
    ] {
        assert!(texts.iter().any(|(_, text)| text.contains(sign)), "nothing says {sign}");
    }
    let secrets = stage.secrets();
    assert!(secrets.len() > 30, "{} secrets", secrets.len());
    let found = found_in(&texts, &secrets);
    assert!(found.is_empty(), "{}, such as {:#?}", found.len(), &found[..found.len().min(12)]);
}

/// Which secret stands where.
fn found_in(texts: &[(&str, String)], secrets: &[(&str, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (what, secret) in secrets {
        for needle in needles(secret) {
            let holding =
                texts.iter().filter_map(|(location, text)| Some((location, text, text.find(&needle)?)));
            found.extend(
                holding.map(|(location, text, at)| format!("{what} is in {location}: {}", line(text, at))),
            );
        }
    }
    found
}

/// The forms in which a secret shows: as it is, as a list of numbers, in hexadecimal.
fn needles(secret: &str) -> [String; 4] {
    let start = secret.get(..TELLING).unwrap();
    let end = secret.get(secret.len() - TELLING..).unwrap();
    let numbers: Vec<String> = start.bytes().map(|byte| byte.to_string()).collect();
    let hex: Vec<String> = start.bytes().map(|byte| format!("{byte:02x}")).collect();
    [start.to_owned(), end.to_owned(), numbers.join(", "), hex.concat()]
}

/// The line up to there, in as much as tells who said it.
fn line(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let begin = before.rfind('\n').map_or(0, |at| at + 1);
    text.get(begin..).unwrap_or_default().lines().next().unwrap_or_default().chars().take(900).collect()
}
