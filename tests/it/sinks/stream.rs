//! The sink that writes to `CloudWatch` Logs, tested with the embedded AWS.

use aws_sdk_cloudwatchlogs::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use logkey::{
    app::SystemClock,
    aws::{Config, Endpoints, LogStream, ServiceCredentials, SessionTagging, StreamConfig, Timeouts},
    sandbox::{
        Running, Sandbox,
        call_log::Outcome,
        fault::{Effect, Fault},
        seed::{PolicyText, RoleSeed},
    },
};

use super::*;

const ACCOUNT: &str = "999999999999";
const REGION: &str = "us-east-1";
const GROUP: &str = "/logkey/audit";
const STREAM: &str = "replica-1";
const EXTERNAL_ID: &str = "the-operators-own";

/// A policy from `deploy/iam`, with the external id of this test.
fn installed(name: &str) -> PolicyText {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/iam").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("replace-me-by-a-long-random-text", EXTERNAL_ID);
    PolicyText::Document(crate::docs::without_organization(serde_json::from_str(&text).unwrap()))
}

/// An embedded AWS with a role that may only write to the log group.
async fn aws(group: bool) -> Running {
    let role = RoleSeed {
        name: "LogKeyAuditSink".into(),
        trust_policy: Some(installed("sink-role-trust.json")),
        policy: Some(installed("sink-role-policy.json")),
        ..RoleSeed::default()
    };
    let service_principal = "arn:aws:iam::999999999999:role/LogKeyHub";
    let with = |account: logkey::sandbox::seed::AccountSeed| {
        let account = account.region(REGION).role_with(role);
        if group { account.log_group(REGION, GROUP) } else { account }
    };
    Sandbox::builder()
        .service_principal(service_principal, "AKIASANDBOXHUB")
        .account(ACCOUNT, with)
        .build()
        .unwrap()
        .start()
        .await
        .unwrap()
}

async fn sink(aws: &Running) -> Arc<dyn Sink> {
    let config = Config {
        region: "us-east-1".parse().unwrap(),
        endpoints: Endpoints::from_endpoints(aws.endpoint()),
        session_duration: Duration::from_hours(1),
        attribution: SessionTagging::Tenant,
        timeouts: Timeouts::default(),
        authorities: None,
        service_principal: Some(ServiceCredentials {
            access_key_id: "AKIASANDBOXHUB".into(),
            secret_access_key: "not-a-secret".into(),
        }),
    };
    let to = StreamConfig {
        region: REGION.parse().unwrap(),
        role: format!("arn:aws:iam::{ACCOUNT}:role/LogKeyAuditSink").parse().unwrap(),
        external_id: EXTERNAL_ID.parse().ok(),
        log_group: GROUP.parse().unwrap(),
        log_stream: STREAM.into(),
    };
    Arc::new(LogStream::connect(&config, to, Arc::new(SystemClock)).await)
}

/// A client with the permissions of the account owner.
fn admin(aws: &Running) -> Client {
    let config = aws_sdk_cloudwatchlogs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(aws.endpoint())
        .credentials_provider(Credentials::new(format!("AKIAADMIN{ACCOUNT}"), "any", None, None, "test"));
    Client::from_conf(config.build())
}

/// The messages in the stream, in the order of AWS. It is empty if there is no stream.
async fn lines(client: &Client) -> Vec<String> {
    let mut lines = Vec::new();
    let mut token = None;
    loop {
        let page = client
            .get_log_events()
            .log_group_name(GROUP)
            .log_stream_name(STREAM)
            .start_from_head(true)
            .set_next_token(token)
            .send()
            .await;
        let Ok(page) = page else { return lines };
        if page.events().is_empty() {
            return lines;
        }
        lines.extend(page.events().iter().filter_map(|event| event.message().map(str::to_owned)));
        token = page.next_forward_token;
    }
}

fn count(aws: &Running, operation: &str) -> usize {
    aws.sandbox().journal().iter().filter(|entry| entry.operation == operation).count()
}

#[tokio::test]
async fn the_sink_creates_its_stream_and_writes_with_one_role_session() {
    let (log, aws) = (Log::new().await, aws(true).await);
    let sinks = log.worker(&[("aws", sink(&aws).await)]).await;
    // The clock of this log is years in the past: AWS accepts the events anyway.
    for count in [300, 900] {
        log.grow(count).await;
    }
    let client = admin(&aws);
    until(async || log.is_whole(&lines(&client).await, &[300, 1200]).await).await;
    sinks.close().await;
    assert_eq!((count(&aws, "AssumeRole"), count(&aws, "CreateLogStream")), (1, 1));
    let puts: Vec<_> =
        aws.sandbox().journal().into_iter().filter(|e| e.operation == "PutLogEvents").collect();
    assert!(puts.iter().all(|put| put.session_name.as_deref() == Some("logkey-audit")), "{puts:?}");
    let refused = puts.iter().filter(|put| matches!(put.outcome, Outcome::Refused { .. })).count();
    assert_eq!(refused, 1, "the call before the stream existed");
}

#[tokio::test]
async fn throttling_errors_and_resets_leave_no_gap() {
    let (log, aws) = (Log::new().await, aws(true).await);
    let failing: [(Effect, bool); 5] = [
        (Effect::Throttle, false),
        (
            Effect::Error { code: "ServiceUnavailableException".into(), message: None, status: Some(500) },
            false,
        ),
        (Effect::Reset, false),
        (Effect::Reset, true),
        (Effect::Garbage, true),
    ];
    for (effect, after) in failing {
        let fault = Fault::on("PutLogEvents", effect).times(2);
        aws.sandbox().fault(if after { fault.after() } else { fault });
    }
    aws.sandbox().fault(Fault::on("AssumeRole", Effect::ExpiredCredentials).times(1));
    let sinks = log.worker(&[("aws", sink(&aws).await)]).await;
    log.grow(200).await;
    log.grow(200).await;
    let client = admin(&aws);
    until(async || log.is_whole(&lines(&client).await, &[200, 400]).await).await;
    sinks.close().await;
}

#[tokio::test]
async fn errors_of_aws_have_a_cause_and_contain_no_secret() {
    let line = [SinkRecord { time: Timestamp::from_secs(0), text: "{}".into() }];
    let bare = aws(false).await;
    let missing = sink(&bare).await.write(&line).await.unwrap_err();
    assert_eq!(missing.cause(), "missing");
    assert!(
        logkey::domain::error_chain::error_chain(&missing).contains("log group does not exist"),
        "{missing:?}"
    );

    let aws = aws(true).await;
    for (operation, effect, cause) in [
        ("PutLogEvents", Effect::Throttle, "throttled"),
        ("PutLogEvents", error("AccessDeniedException"), "refused"),
        ("PutLogEvents", error("ServiceUnavailableException"), "failed"),
        ("PutLogEvents", Effect::Reset, "failed"),
        ("AssumeRole", error("AccessDenied"), "failed"),
    ] {
        aws.sandbox().fault(Fault::on(operation, effect));
        let failure = sink(&aws).await.write(&line).await.unwrap_err();
        assert_eq!(failure.cause(), cause, "{operation}: {failure:?}");
        for text in [logkey::domain::error_chain::error_chain(&failure), format!("{failure:?}")] {
            assert!(!text.contains(EXTERNAL_ID), "{text}");
        }
        aws.sandbox().clear_faults();
    }
    assert_eq!(sink(&aws).await.write(&line).await.unwrap(), 1);
}

fn error(code: &str) -> Effect {
    Effect::Error { code: code.into(), message: None, status: None }
}

#[tokio::test]
async fn a_recreated_log_group_receives_the_missed_events() {
    let (log, aws) = (Log::new().await, aws(true).await);
    let client = admin(&aws);
    let sinks = log.worker(&[("aws", sink(&aws).await)]).await;
    log.grow(10).await;
    until(async || lines(&client).await.len() == 11).await;
    client.delete_log_group().log_group_name(GROUP).send().await.unwrap();
    log.grow(10).await;
    let before = count(&aws, "CreateLogStream");
    until(async || count(&aws, "CreateLogStream") > before + 2).await;
    client.create_log_group().log_group_name(GROUP).send().await.unwrap();
    until(async || lines(&client).await.len() >= 11).await;
    sinks.close().await;
    let (lines, bodies) = (lines(&client).await, log.bodies().await);
    assert_eq!(lines[..10], bodies[10..]);
    assert_eq!(checkpoint_size(&lines[10]), Some(20));
}
