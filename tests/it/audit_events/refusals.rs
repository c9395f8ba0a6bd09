//! Refusals of every cause: the audit log records the reason that the caller received.

use std::time::Duration;

use logkey::{
    proto::ListKeyAssociationsRequest,
    sandbox::{
        builder::Builder,
        fault::{Effect, Fault},
        seed::{AccountSeed, KeySeed, PolicyText},
    },
};
use serde_json::json;
use tonic::Status;

use super::*;
use crate::harness::{ORDERS, reason, tenant};

/// The account of a tenant with a low rate limit.
const METERED: &str = "777788889999";
/// The account of a tenant whose role requires another external id.
const MISTAKEN: &str = "888899990000";

/// The refused calls: the request id and the reason of each.
struct Refusals(Vec<(String, String)>);

impl Refusals {
    fn record<T>(&mut self, answer: Result<T, Status>) {
        let Err(status) = answer else { panic!("the call after {:?} was not refused", self.0.last()) };
        let call = status.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned();
        self.0.push((call, reason(&status)));
    }
}

fn with_more_accounts(aws: Builder) -> Builder {
    let metered = |account: AccountSeed| {
        account.role("LogKeyAssociator", "metered-external-id").log_group(REGION, "/metered/api")
    };
    let mistaken = |account: AccountSeed| {
        account.role("LogKeyAssociator", "another-external-id").log_group(REGION, "/mistaken/api")
    };
    aws.account(METERED, metered).account(MISTAKEN, mistaken)
}

fn key_with(id: &str, with: impl FnOnce(KeySeed) -> KeySeed) -> KeySeed {
    with(KeySeed { id: id.into(), region: REGION.into(), ..KeySeed::default() })
}

async fn service() -> Service {
    let keys = vec![
        key_with("disabled", |key| KeySeed { state: Some("Disabled".into()), ..key }),
        key_with("doomed", |key| KeySeed { state: Some("PendingDeletion".into()), ..key }),
        key_with("silent", |key| {
            let root = json!({ "AWS": format!("arn:aws:iam::{PAYMENTS}:root") });
            let policy = json!({ "Version": "2012-10-17", "Statement": [
                { "Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*" }] });
            KeySeed { policy: Some(PolicyText::Document(policy)), ..key }
        }),
    ];
    let generous = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
    let tenants = tenant("payments", PAYMENTS, generous)
        + &tenant("orders", ORDERS, generous).replace("id = \"orders\"", "id = \"orders\"\nsuspended = true")
        + &tenant("metered", METERED, "{ per_second = 1, burst = 1, max_in_flight = 1 }")
        + &tenant("mistaken", MISTAKEN, generous);
    let policy = r#"@id("frozen") forbid (principal, action in LogKey::Action::"Change",
        resource == LogKey::LogGroup::"arn:aws:logs:eu-west-1:111122223333:log-group:/payments/hash#1");"#;
    let settings =
        "[server]\nrequest_timeout = \"1500ms\"\nmax_in_flight = 3\n[audit]\nstreams_per_tenant = 1\n";
    let plan = Plan::with_keys(keys).aws(with_more_accounts).tenants(&tenants).policies(policy);
    plan.settings(settings).start().await
}

async fn unauthenticated(service: &Service, refusals: &mut Refusals) {
    let mut bare = TenantServiceClient::new(service.channel());
    refusals.record(bare.get_caller(logkey::proto::GetCallerRequest {}).await);
    refusals.record(Caller::new(service.channel(), "nonsense").who_am_i().await);
    let expired = service.issuer.token_with("payments", ALL, &[("exp", json!(1_000_000_000))]);
    refusals.record(Caller::new(service.channel(), &expired).who_am_i().await);
    let unknown_tenant = service.issuer.token("nobody", ALL);
    refusals.record(Caller::new(service.channel(), &unknown_tenant).who_am_i().await);
}

async fn invalid_requests(service: &Service, refusals: &mut Refusals) {
    let caller = service.caller("payments", ALL);
    refusals.record(service.caller("payments", "logkey:read").associate(GROUP, &key("good")).await);
    refusals.record(service.caller("orders", ALL).who_am_i().await);
    refusals.record(caller.associate("/payments/hash#1", &key("good")).await);
    refusals.record(caller.associate("no name", &key("good")).await);
    refusals.record(
        caller
            .list(ListKeyAssociationsRequest { page_token: "of nobody".into(), ..Default::default() })
            .await,
    );
    let other_region = format!("arn:aws:kms:us-east-1:{PAYMENTS}:key/good");
    refusals.record(caller.associate(GROUP, &other_region).await);
    refusals.record(caller.associate("aws/spans", &key("good")).await);
    refusals.record(caller.associate("/elsewhere", &key("good")).await);
    refusals.record(caller.get("/payments/none").await);
    refusals
        .record(caller.associate_arn("arn:aws:logs:eu-west-1:999999999999:log-group:x", &key("good")).await);
    refusals.record(caller.associate(GROUP, &format!("arn:aws:kms:{REGION}:{ORDERS}:key/good")).await);
    let mut audit = AuditServiceClient::new(caller.channel());
    let reader = service.caller("payments", "logkey:audit");
    let none = GetInclusionProofRequest { event_id: uuid::Uuid::now_v7().to_string(), tree_size: 0 };
    refusals.record(audit.get_inclusion_proof(reader.request(none)).await);
    let expecting =
        AssociateKmsKeyRequest { expected_kms_key_id: Some(key("next")), ..on_group(GROUP, &key("good")) };
    refusals.record(caller.send(expecting).await);
    let with_id = |group: &str, id: &str| AssociateKmsKeyRequest {
        request_id: "6f1c8f0e-9d0b-4f0e-8a51-0c4c1b0c6d11".into(),
        ..on_group(group, &key(id))
    };
    caller.send(with_id(GROUP, "good")).await.unwrap();
    refusals.record(caller.send(with_id(GROUP, "next")).await);
}

async fn refused_by_aws(service: &Service, refusals: &mut Refusals) {
    let caller = service.caller("payments", ALL);
    for id in ["closed", "silent", "disabled", "doomed"] {
        refusals.record(caller.associate(GROUP, &key(id)).await);
    }
    refusals.record(service.caller("mistaken", ALL).get("/mistaken/api").await);
    let fault = |effect| service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", effect));
    let error = |code: &str, message: &str| Effect::Error {
        code: code.into(),
        message: Some(message.into()),
        status: None,
    };
    for effect in [
        Effect::Throttle,
        error("OperationAbortedException", "A previous operation is in progress"),
        error(
            "AccessDeniedException",
            "User: arn:aws:sts::111122223333:assumed-role/LogKeyAssociator/x is not authorized to perform: logs:AssociateKmsKey on resource: arn because no identity-based policy allows the logs:AssociateKmsKey action",
        ),
        error(
            "AccessDeniedException",
            "User: arn:aws:sts::111122223333:assumed-role/LogKeyAssociator/x is not authorized to perform: logs:AssociateKmsKey on resource: arn with an explicit deny in a service control policy",
        ),
        error("ServiceUnavailableException", "try again"),
        Effect::Hang,
    ] {
        fault(effect);
        refusals.record(caller.associate(GROUP, &key("good")).await);
        service.sandbox.sandbox().clear_faults();
    }
}

async fn over_limits(service: &Service, refusals: &mut Refusals) {
    let metered = service.caller("metered", ALL);
    metered.who_am_i().await.unwrap();
    refusals.record(metered.who_am_i().await);
    let reader = service.caller("payments", "logkey:audit");
    let watch = || WatchAuditEventsRequest { after_position: None, filter: None };
    let mut audit = AuditServiceClient::new(service.channel());
    let first = audit.watch_audit_events(reader.request(watch())).await.unwrap();
    refusals.record(audit.watch_audit_events(reader.request(watch())).await);
    drop(first);

    // The service is at its limit of calls in flight. Then a call arrives with a deadline that has passed.
    let latency = Effect::Latency { ms: 700, jitter_ms: 0 };
    service.sandbox.sandbox().fault(Fault::on("DescribeLogGroups", latency));
    let caller = service.caller("payments", ALL);
    let slow: Vec<_> = (0..3)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.get(GROUP).await })
        })
        .collect();
    let before = service.reached("DescribeLogGroups").len();
    while service.reached("DescribeLogGroups").len() < before + 3 {
        tokio::task::yield_now().await;
    }
    refusals.record(caller.who_am_i().await);
    for call in slow {
        call.await.unwrap().unwrap();
    }
    service.sandbox.sandbox().clear_faults();
    raw(service, "TenantService/GetCaller", "0m", "DEADLINE_BEFORE_AWS", refusals).await;
    raw(service, "TenantService/Guess", "1S", "METHOD_UNKNOWN", refusals).await;
}

/// Sends a call that no gRPC client sends, to this path with this time limit, and records the expected cause.
async fn raw(service: &Service, path: &str, limit: &str, cause: &str, refusals: &mut Refusals) {
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let call = format!("raw-{cause}");
    let answer = client
        .post(format!("http://{}/keyassociation.v1.{path}", service.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", limit)
        .header("x-request-id", &call)
        .bearer_auth(service.issuer.token("payments", ALL))
        .body(vec![0; 5])
        .send()
        .await
        .unwrap();
    assert_ne!(answer.headers().get("grpc-status").unwrap(), "0", "{cause}");
    refusals.0.push((call, cause.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_recorded_with_the_request_id_of_its_call() {
    let service = service().await;
    let mut refusals = Refusals(Vec::new());
    unauthenticated(&service, &mut refusals).await;
    invalid_requests(&service, &mut refusals).await;
    refused_by_aws(&service, &mut refusals).await;
    over_limits(&service, &mut refusals).await;
    let events = tokio::time::timeout(Duration::from_mins(1), recorded(service)).await.unwrap();
    let causes: BTreeSet<&str> = refusals.0.iter().map(|(_, cause)| &**cause).collect();
    assert!(causes.len() >= 28, "{} causes: {causes:?}", causes.len());
    for (call, cause) in &refusals.0 {
        let of_call = |event: &&Value| event["metadata"]["correlation_uid"] == **call;
        let ends: Vec<_> = events
            .iter()
            .filter(of_call)
            .filter(|event| event["metadata"]["event_code"] != "intent")
            .map(|event| {
                (event["status"].as_str().unwrap(), event["status_code"].as_str().unwrap_or_default())
            })
            .collect();
        // A change without an answer is also reconciled.
        assert_eq!(ends.first(), Some(&("Failure", &**cause)), "{call} received {cause}: {ends:?}");
    }
}
