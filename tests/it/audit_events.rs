//! What a whole service records in the audit log: every operation with its fields. Reads can be turned off.

mod refusals;

use std::collections::BTreeSet;

use logkey::{
    config::{EmptyEnv, Settings},
    ports::{EventFilter, EventReader},
    proto::{
        AssociateKmsKeyRequest, AuditEventFilter, CheckKeyAssociationRequest, GetCheckpointRequest,
        GetConsistencyProofRequest, GetInclusionProofRequest, GetKeyUsageRequest, GetOnboardingRequest,
        ListAuditEventsRequest, ListKeyAssociationsRequest, TestAccessRequest, WatchAuditEventsRequest,
        audit_service_client::AuditServiceClient, check_key_association_request::Target,
        tenant_service_client::TenantServiceClient,
    },
    sandbox::seed::KeySeed,
    store,
};
use serde_json::{Value, json};

use crate::harness::{ALL, Caller, GROUP, ISSUER, PAYMENTS, Plan, REGION, Service, key, on_group};

const EVERYTHING: &str =
    "logkey:read logkey:associate logkey:disassociate logkey:query-results logkey:audit logkey:admin";

/// Every stored event, oldest first, as JSON.
async fn stored_events(log: &dyn EventReader) -> Vec<Value> {
    let all = log.after(0, 10_000).await.unwrap();
    all.iter().map(|event| serde_json::from_str(&event.body).unwrap()).collect()
}

/// Restarts the service, which writes the events that no call waits for, and reads its log.
async fn recorded(service: Service) -> Vec<Value> {
    let service = service.restart().await;
    let settings = Settings::load(&service.settings(), &EmptyEnv).unwrap();
    let open = store::open_reader(&settings.store.config).await.unwrap();
    let events = stored_events(&*open.log).await;
    service.stop().await;
    events
}

/// The text at this JSON pointer of an event, or an empty text.
fn at<'e>(event: &'e Value, path: &str) -> &'e str {
    event.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn is(event: &Value, kind: &str, operation: &str) -> bool {
    at(event, "/metadata/event_code") == kind && at(event, "/api/operation") == operation
}

#[tokio::test]
async fn intent_and_outcome_name_caller_resource_keys_role_and_reason() {
    let aliased = KeySeed {
        id: "aliased".into(),
        region: REGION.into(),
        aliases: vec!["alias/app".into()],
        ..KeySeed::default()
    };
    let service = Plan::with_keys(vec![aliased]).start().await;
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    let token = service.issuer.token_with(
        "payments",
        ALL,
        &[("jti", json!("the-token")), ("sub", json!("alice\u{202e}"))],
    );
    let caller = Caller::new(service.channel(), &token);
    let message =
        AssociateKmsKeyRequest { reason: "ticket\u{200b} 42".into(), ..on_group(GROUP, "alias/app") };
    let mut request = caller.request(message);
    request.metadata_mut().insert("x-request-id", "the-call".parse().unwrap());
    let answer = caller.keys().associate_kms_key(request).await.unwrap().into_inner();

    let calls: Vec<_> = service.sandbox.sandbox().journal();
    let call = calls.iter().rfind(|call| call.operation == "AssociateKmsKey").unwrap().clone();
    let events = recorded(service).await;
    let of_call = |kind: &str| {
        let matches = |event: &&Value| {
            event["metadata"]["correlation_uid"] == "the-call" && is(event, kind, "AssociateKmsKey")
        };
        let [event] = events.iter().filter(matches).collect::<Vec<_>>()[..] else { panic!("{events:#?}") };
        event.clone()
    };
    let (intent, outcome) = (of_call("intent"), of_call("outcome"));
    for event in [&intent, &outcome] {
        let at = |path: &str| event.pointer(path).cloned().unwrap_or(Value::Null);
        assert_eq!(at("/metadata/tenant_uid"), "payments");
        assert_eq!(at("/metadata/version"), "1.8.0");
        assert_eq!(at("/api/request/uid"), "the-call");
        assert_eq!(at("/actor/user/uid"), "alice\\u{202e}");
        assert_eq!(at("/actor/session"), json!({ "uid": "the-token", "issuer": ISSUER }));
        let granted = json!([{ "decision": "Allowed", "policy": { "uid": "tenant/payments/111122223333/log-groups" } }]);
        assert_eq!(at("/actor/authorizations"), granted);
        assert_eq!(at("/src_endpoint/ip"), "127.0.0.1");
        assert!(at("/http_request/user_agent").as_str().unwrap().starts_with("tonic/"));
        assert_eq!(at("/cloud/account/uid"), PAYMENTS);
        assert_eq!((at("/cloud/region"), at("/cloud/cloud_partition")), (json!(REGION), json!("aws")));
        let group = format!("arn:aws:logs:{REGION}:{PAYMENTS}:log-group:{GROUP}");
        assert_eq!((at("/resources/0/uid"), at("/resources/1/uid")), (json!(group), json!(key("aliased"))));
        let logkey_fields = at("/unmapped/logkey");
        assert_eq!(logkey_fields["requested_key"], "alias/app");
        assert_eq!(
            (&logkey_fields["resolved_key"], &logkey_fields["previous_key"]),
            (&json!(key("aliased")), &json!(key("good")))
        );
        assert_eq!(logkey_fields["reason"], "ticket\\u{200b} 42");
    }
    let logkey_fields = &outcome["unmapped"]["logkey"];
    assert_eq!(outcome["metadata"]["uid"], answer.audit_event_id);
    assert_eq!(logkey_fields["closes"], intent["metadata"]["uid"]);
    assert_eq!((&outcome["status"], &logkey_fields["grpc_code"]), (&json!("Success"), &json!("OK")));
    assert!(logkey_fields["latency_us"].as_u64().unwrap() > 0);
    assert_eq!(
        (&intent["status"], &intent["unmapped"]["logkey"]["grpc_code"]),
        (&json!("Unknown"), &Value::Null)
    );
    // CloudTrail has the role, its session and the id of each call; they connect the event to CloudTrail.
    assert_eq!(logkey_fields["role_arn"], format!("arn:aws:iam::{PAYMENTS}:role/LogKeyAssociator"));
    assert_eq!(logkey_fields["session_name"].as_str(), call.session_name.as_deref());
    let ids: Vec<&str> =
        logkey_fields["aws_request_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(ids.last(), Some(&&*call.request_id));
    assert!(ids.iter().all(|id| calls.iter().any(|call| call.request_id == **id)), "{ids:?}");
    for event in &events {
        let id: uuid::Uuid = event["metadata"]["uid"].as_str().unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
    }
}

/// Calls every RPC once, so that it succeeds.
async fn each_rpc(service: &Service) {
    let caller = service.caller("payments", EVERYTHING);
    let associated = caller.associate(GROUP, &key("good")).await.unwrap();
    caller.get(GROUP).await.unwrap();
    caller.list(ListKeyAssociationsRequest::default()).await.unwrap();
    let check = CheckKeyAssociationRequest {
        target: Some(Target::LogGroupName(GROUP.into())),
        kms_key_id: key("good"),
        ..Default::default()
    };
    caller.keys().check_key_association(caller.request(check)).await.unwrap();
    let usage = GetKeyUsageRequest { kms_key_id: key("good"), page_size: 1, ..Default::default() };
    caller.keys().get_key_usage(caller.request(usage)).await.unwrap();
    caller.disassociate(GROUP).await.unwrap();

    caller.who_am_i().await.unwrap();
    let mut tenants = TenantServiceClient::new(caller.channel());
    let account = GetOnboardingRequest { account_id: PAYMENTS.into() };
    tenants.get_onboarding(caller.request(account)).await.unwrap();
    tenants.test_access(caller.request(TestAccessRequest::default())).await.unwrap();

    let mut audit = AuditServiceClient::new(caller.channel());
    audit.list_audit_events(caller.request(ListAuditEventsRequest::default())).await.unwrap();
    audit.get_checkpoint(caller.request(GetCheckpointRequest {})).await.unwrap();
    let proof = GetInclusionProofRequest { event_id: associated.audit_event_id, tree_size: 0 };
    audit.get_inclusion_proof(caller.request(proof)).await.unwrap();
    let proof = GetConsistencyProofRequest { old_tree_size: 1, new_tree_size: 2 };
    audit.get_consistency_proof(caller.request(proof)).await.unwrap();
    let watch =
        WatchAuditEventsRequest { after_position: Some(0), filter: Some(AuditEventFilter::default()) };
    drop(audit.watch_audit_events(caller.request(watch)).await.unwrap());
}

fn operations(events: &[Value], kind: &str) -> BTreeSet<String> {
    let of_kind = events.iter().filter(|event| at(event, "/metadata/event_code") == kind);
    of_kind.map(|event| at(event, "/api/operation").to_owned()).collect()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test]
async fn every_rpc_and_every_lifecycle_event_is_recorded() {
    let service = Service::start().await;
    each_rpc(&service).await;
    let same = std::fs::read_to_string(service.settings()).unwrap();
    service.reload("[[tenants]]\nid = \"Not An Id\"\n").await;
    std::fs::write(service.settings(), same).unwrap();
    service.reloader.reload(Settings::load(&service.settings(), &EmptyEnv)).await;
    let events = recorded(service).await;
    let changes = names(["AssociateKmsKey", "DisassociateKmsKey"]);
    assert_eq!(operations(&events, "intent"), changes);
    assert_eq!(operations(&events, "outcome"), changes);
    let reads = [
        "GetKeyAssociation",
        "ListKeyAssociations",
        "CheckKeyAssociation",
        "GetKeyUsage",
        "GetCaller",
        "GetOnboarding",
        "TestAccess",
        "ListAuditEvents",
        "WatchAuditEvents",
        "GetCheckpoint",
        "GetInclusionProof",
        "GetConsistencyProof",
    ];
    assert_eq!(operations(&events, "read"), names(reads));
    assert_eq!(operations(&events, "refusal"), BTreeSet::new());
    let lifecycle: Vec<_> = events
        .iter()
        .filter(|event| event["metadata"]["event_code"] == "lifecycle")
        .map(|event| (event["api"]["operation"].as_str().unwrap(), event["status"].as_str().unwrap()))
        .collect();
    let expected = [
        ("Start", "Success"),
        ("Reload", "Failure"),
        ("Reload", "Success"),
        ("Stop", "Success"),
        ("Start", "Success"),
    ];
    assert_eq!(lifecycle, expected);
    let refused = events.iter().find(|event| event["status_code"] == "FIELD_INVALID").unwrap();
    assert!(refused["status_detail"].as_str().unwrap().contains("logkey.toml:"), "{refused}");
}

#[tokio::test]
async fn changes_and_refusals_are_recorded_when_reads_are_not() {
    let service = Plan::default().settings("[audit]\nreads = false\n").start().await;
    each_rpc(&service).await;
    service.caller("payments", "logkey:read").associate(GROUP, &key("good")).await.unwrap_err();
    service.caller("payments", ALL).get("/payments/none").await.unwrap_err();
    let events = recorded(service).await;
    assert_eq!(operations(&events, "read"), BTreeSet::new());
    assert_eq!(operations(&events, "outcome"), names(["AssociateKmsKey", "DisassociateKmsKey"]));
    assert_eq!(operations(&events, "refusal"), names(["AssociateKmsKey", "GetKeyAssociation"]));
    assert_eq!(operations(&events, "lifecycle"), names(["Start", "Stop"]));
}

#[tokio::test]
async fn sampled_reads_say_how_many_reads_they_stand_for() {
    const READS: u64 = 230;
    let started = std::time::Instant::now();
    let service = Plan::default().settings("[audit]\nreads = \"sampled\"\n").start().await;
    each_rpc(&service).await;
    let caller = service.caller("payments", ALL);
    for _ in 0..READS {
        caller.get(GROUP).await.unwrap();
    }
    for _ in 0..3 {
        caller.get("/payments/none").await.unwrap_err();
    }
    // A machine that is so slow that more than a minute passes has a first read in each minute.
    let later_minutes = started.elapsed().as_secs() / 60;
    let events = recorded(service).await;
    assert_eq!(operations(&events, "outcome"), names(["AssociateKmsKey", "DisassociateKmsKey"]));
    assert!(operations(&events, "read").contains("GetOnboarding"), "{events:#?}");
    assert_eq!(events.iter().filter(|event| is(event, "refusal", "GetKeyAssociation")).count(), 3);
    let subject = |event: &&Value| is(event, "read", "GetKeyAssociation");
    let counts: Vec<u64> =
        events.iter().filter(subject).map(|event| event["count"].as_u64().unwrap_or(1)).collect();
    assert_eq!(counts[0], 1, "{counts:?}");
    assert!((3..=4 + later_minutes).contains(&(counts.len() as u64)), "{counts:?}");
    let represented: u64 = counts.iter().sum();
    assert!((READS - 100..=READS + 1).contains(&represented), "{counts:?}");
}

#[tokio::test]
async fn a_flood_of_refusals_is_summarized_and_fully_counted() {
    let service = Service::start().await;
    let unauthenticated = Caller::new(service.channel(), "no-token-at-all");
    let caller = service.caller("payments", "logkey:read");
    for _ in 0..60 {
        unauthenticated.who_am_i().await.unwrap_err();
        caller.associate(GROUP, &key("good")).await.unwrap_err();
    }
    let events = recorded(service).await;
    let refusals: Vec<&Value> =
        events.iter().filter(|event| event["metadata"]["event_code"] == "refusal").collect();
    assert!(refusals.len() < 40, "{} events of 120 refusals", refusals.len());
    for code in ["SCOPE_MISSING", "TOKEN_INVALID"] {
        let of_code: Vec<&&Value> = refusals.iter().filter(|event| event["status_code"] == code).collect();
        let (first, last) = (of_code.first().unwrap(), of_code.last().unwrap());
        assert_eq!(first["count"], Value::Null, "{first}");
        assert!(last["count"].as_u64().unwrap() > 1, "{last}");
    }
    let all: u64 = refusals.iter().map(|event| event["count"].as_u64().unwrap_or(1)).sum();
    assert_eq!(all, 120);
}

#[tokio::test]
async fn the_events_of_a_call_are_found_by_its_correlation_id() {
    let service = Service::start().await;
    let answer = service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    let settings = Settings::load(&service.settings(), &EmptyEnv).unwrap();
    let log = store::open_reader(&settings.store.config).await.unwrap().log;
    let outcome = log.find(logkey::domain::audit::EventId(answer.audit_event_id.parse().unwrap())).await;
    let outcome: Value = serde_json::from_str(&outcome.unwrap().unwrap().body).unwrap();
    let correlation = outcome["metadata"]["correlation_uid"].as_str().unwrap().to_owned();
    let filter = EventFilter { correlation: Some(correlation), ..EventFilter::default() };
    assert_eq!(log.list(&filter, None, 10).await.unwrap().len(), 2, "its intent and its outcome");
    service.stop().await;
}
