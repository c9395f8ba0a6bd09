use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::domain::{
    association::{Location, Resource, Target},
    audit::{
        Actor, AuditOperation, AwsCallRecord, Completion, Compliance, DecisionRecord, FindingChange,
        FindingRecord, Keys, Kind, LogEvent, ReconciliationResult,
    },
    call::Action,
    principal::Delegation,
    time::Timestamp,
};

fn outcome() -> Event {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    Event {
        kind: Kind::Outcome,
        act: AuditOperation::Rpc(Action::AssociateKmsKey),
        correlation: "call-1".parse().unwrap(),
        closes: Some(EventId(Uuid::from_u128(7))),
        actor: Actor {
            tenant: Some("payments".parse().unwrap()),
            subject: Some("alice\u{1b}[31m".into()),
            issuer: Some("https://idp.example.com".into()),
            token_id: Some("jti-1".into()),
            delegation: Some(Delegation { on_behalf_of: "zoë".into(), actor: "portal\u{7}".into() }),
            source: Some("192.0.2.7".parse().unwrap()),
            unverified_user_agent: Some("grpc-\u{202e}rust".into()),
        },
        resource: Some(Resource { location, target: Target::LogGroup("/app/web".parse().unwrap()) }),
        keys: Keys {
            requested: Some("alias/x".into()),
            resolved: Some(key.parse().unwrap()),
            previous: None,
        },
        reason: Some("ticket \"42\"".into()),
        decision: Some(DecisionRecord { allowed: true, policies: vec!["grants".into()] }),
        via: AwsCallRecord {
            role_arn: Some("arn:aws:iam::111122223333:role/LogKey".into()),
            session_name: Some("payments".into()),
            aws_request_ids: vec!["aws-1".into()],
        },
        end: Some(Completion { failure: None, aws_error: None, latency: Duration::from_micros(12_345) }),
        ..Event::for_service(AuditOperation::Start, Timestamp::from_micros(1_700_000_000_123_456))
    }
}

fn written(event: &Event) -> (EventIndexFields, String) {
    let mut bytes = b"before".to_vec();
    let indexed = write(event, EventId(Uuid::from_u128(1)), &mut bytes).unwrap();
    let body = String::from_utf8(bytes[indexed.start..indexed.start + indexed.len].to_vec()).unwrap();
    assert_eq!(indexed.start, 6);
    (indexed, body)
}

#[test]
fn an_event_is_one_line_of_ocsf_api_activity() {
    let (indexed, body) = written(&outcome());
    assert!(body.bytes().all(|b| b >= b' '), "{body}");
    let json: Value = serde_json::from_str(&body).unwrap();
    let at = |path: &str| json.pointer(path).cloned().unwrap_or(Value::Null);
    assert_eq!(at("/class_uid"), 6003);
    assert_eq!(at("/type_uid"), 600_303);
    assert_eq!(at("/time"), 1_700_000_000_123_i64);
    assert_eq!(at("/metadata/version"), "1.8.0");
    assert_eq!(at("/metadata/tenant_uid"), "payments");
    assert_eq!(at("/metadata/correlation_uid"), "call-1");
    assert_eq!(at("/actor/authorizations/0/policy/uid"), "grants");
    assert_eq!(at("/resources/0/uid"), "arn:aws:logs:eu-west-1:111122223333:log-group:/app/web");
    assert_eq!(at("/unmapped/logkey/reason"), "ticket \"42\"");
    assert_eq!(at("/unmapped/logkey/on_behalf_of"), "zoë");
    assert_eq!(at("/unmapped/logkey/closes"), Uuid::from_u128(7).to_string());
    assert_eq!(at("/status"), "Success");
    assert_eq!(indexed.outcome, Some("OK"));
    assert_eq!((indexed.kind, indexed.action), ("outcome", "AssociateKmsKey"));
}

#[test]
fn text_from_outside_cannot_control_a_terminal() {
    let (_, body) = written(&outcome());
    let json: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["actor"]["user"]["uid"], "alice\\u{1b}[31m");
    assert_eq!(json["http_request"]["user_agent"], "grpc-\\u{202e}rust");
    assert_eq!(json["actor"]["app_uid"], "portal\\u{7}");
}

#[test]
fn an_event_with_the_longest_texts_fits_an_export_entry() {
    let text = |of: &str| of.repeat(10_000);
    for of in ["x", "\"", "\\", "\u{1b}", "\u{202e}", "\u{e0041}", "é", "日", "😀"] {
        let long = || Some(text(of).into());
        let event = Event {
            actor: Actor {
                subject: Some(text(of).into()),
                issuer: Some(text(of).into()),
                token_id: Some(text(of).into()),
                unverified_user_agent: long(),
                ..outcome().actor
            },
            keys: Keys { requested: long(), ..outcome().keys },
            reason: long(),
            detail: long(),
            decision: Some(DecisionRecord { allowed: false, policies: vec![text(of).into(); 100] }),
            via: AwsCallRecord {
                role_arn: long(),
                session_name: long(),
                aws_request_ids: vec![text(of).into(); 100],
            },
            end: Some(Completion { failure: None, aws_error: long(), latency: Duration::MAX }),
            ..outcome()
        };
        let (_, body) = written(&event);
        assert!(u16::try_from(body.len()).is_ok(), "{of:?}: {} bytes", body.len());
        let json: Value = serde_json::from_str(&body).unwrap();
        assert!(json["unmapped"]["logkey"]["reason"].as_str().unwrap().ends_with('…'), "{of:?}");
    }
}

#[test]
fn an_intent_has_no_status_and_a_reconciliation_has_its_result() {
    let (indexed, body) = written(&Event { kind: Kind::Intent, end: None, ..outcome() });
    assert_eq!(indexed.outcome, None);
    assert!(body.contains(r#""status":"Unknown""#), "{body}");
    let (_, body) =
        written(&Event { kind: Kind::Reconciled(ReconciliationResult::NotEffective), ..outcome() });
    assert!(body.contains(r#""settled":"not in force""#), "{body}");
}

#[test]
fn an_unauthenticated_caller_has_an_actor() {
    let (_, body) =
        written(&Event { kind: Kind::Refusal, actor: Actor::default(), decision: None, ..outcome() });
    let json: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["actor"]["app_name"], "unauthenticated");
    assert_eq!(json["src_endpoint"]["name"], "unknown");
}

fn finding() -> Event {
    let record = FindingRecord {
        id: Uuid::from_u128(9),
        change: FindingChange::New,
        kind: "NO_KEY",
        title: "No KMS key is set",
        compliance: Compliance::Fail,
        rule: Some("all".into()),
        since: Timestamp::from_micros(1_600_000_000_000_000),
        message: "the log group has no KMS key".into(),
        remedy: "set the key".into(),
        remedy_document: Some("{}".into()),
        current_key: None,
        changed_by: Some("arn:aws:iam::111122223333:user/\u{1b}x".into()),
    };
    Event {
        kind: Kind::Finding,
        actor: Actor { tenant: outcome().actor.tenant, ..Actor::default() },
        resource: outcome().resource,
        keys: Keys { resolved: outcome().keys.resolved, ..Keys::default() },
        finding: Some(Box::new(record)),
        ..lifecycle(AuditOperation::Finding)
    }
}

#[test]
fn a_finding_is_an_ocsf_compliance_finding_that_readers_understand() {
    let (indexed, body) = written(&finding());
    let json: Value = serde_json::from_str(&body).unwrap();
    let at = |path: &str| json.pointer(path).cloned().unwrap_or(Value::Null);
    assert_eq!((at("/class_uid"), at("/type_uid")), (2003.into(), 200_301.into()));
    assert_eq!((at("/activity_name"), at("/status")), ("Create".into(), "New".into()));
    assert_eq!((at("/compliance/status"), at("/compliance/control")), ("Fail".into(), "all".into()));
    assert_eq!(at("/finding_info/uid"), Uuid::from_u128(9).to_string());
    assert_eq!(at("/finding_info/created_time"), 1_600_000_000_000_i64);
    assert_eq!(at("/remediation/desc"), "set the key");
    assert_eq!(at("/unmapped/logkey/changed_by"), "arn:aws:iam::111122223333:user/\\u{1b}x");
    assert_eq!((indexed.kind, indexed.action, indexed.outcome), ("finding", "Finding", Some("NO_KEY")));
    let read = crate::domain::audit::schema::ApiActivity::parse(&body).unwrap();
    assert_eq!((read.outcome(), read.time()), (indexed.outcome, indexed.time));
    for (change, activity, outcome) in
        [(FindingChange::Changed, "Update", "NO_KEY"), (FindingChange::Resolved, "Close", "RESOLVED")]
    {
        let changed = FindingRecord { change, compliance: Compliance::Pass, ..*finding().finding.unwrap() };
        let (indexed, body) = written(&Event { finding: Some(Box::new(changed)), ..finding() });
        let json: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((json["activity_name"].as_str(), indexed.outcome), (Some(activity), Some(outcome)));
        assert_eq!(json["severity"], "Informational");
    }
}

#[test]
fn a_finding_with_the_longest_texts_fits_an_export_entry() {
    let long = "\u{1b}\u{e0041}".repeat(5_000);
    let text = || Some(Box::from(&*long));
    let record = FindingRecord {
        rule: text(),
        message: long.clone().into(),
        remedy: long.clone().into(),
        remedy_document: text(),
        current_key: text(),
        changed_by: text(),
        ..*finding().finding.unwrap()
    };
    let (_, body) = written(&Event { finding: Some(Box::new(record)), ..finding() });
    assert!(u16::try_from(body.len()).is_ok(), "{} bytes", body.len());
}

#[test]
fn the_stored_form_never_changes() {
    let (_, change) = written(&outcome());
    let failed = Completion {
        failure: Some(Reason::KeyDisabled),
        aws_error: Some("InvalidParameterException".into()),
        latency: Duration::from_millis(7),
    };
    let (_, reconciled) = written(&Event {
        kind: Kind::Reconciled(ReconciliationResult::NotEffective),
        resource: outcome().resource.map(|resource| Resource { target: Target::QueryResults, ..resource }),
        keys: Keys { previous: outcome().keys.resolved, ..Keys::default() },
        detail: Some("read back".into()),
        end: Some(failed),
        count: 3,
        ..outcome()
    });
    let log = LogEvent::Archived { last: 512, root: "cm9vdA==".into(), proof: "one\nnote\n".into() };
    let (_, archived) = written(&Event { log: Some(log), ..lifecycle(AuditOperation::Archive) });
    let log = LogEvent::Rotated { from: "log+1+a".into(), to: "log+2+b".into(), proof: "note".into() };
    let (_, rotated) = written(&Event { log: Some(log), ..lifecycle(AuditOperation::RotateKey) });
    let log = LogEvent::Restarted { size: 512, root: "cm9vdA==".into(), proof: "note".into() };
    let (_, restarted) = written(&Event { log: Some(log), ..lifecycle(AuditOperation::RestartLog) });
    let (_, found) = written(&finding());
    let stored = [change, reconciled, archived, rotated, restarted, found].join("\n") + "\n";
    let golden = include_str!("golden.jsonl").replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert_eq!(stored, golden);
}

fn lifecycle(act: AuditOperation) -> Event {
    let time = Timestamp::from_micros(1_700_000_000_123_456);
    Event { correlation: "service-1".parse().unwrap(), ..Event::for_service(act, time) }
}
