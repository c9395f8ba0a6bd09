//! Writes an audit log with an event of every kind and COUNT further events. Tools use it to check the format
//! of events and of the log: `cargo run --example audit_log -- FOLDER COUNT`.

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use logkey::{
    app::SystemClock,
    audit::{self, Journal, Sequencer, checkpoint, checkpoint::SigningKey},
    domain::{
        association::{Location, Resource, Target},
        audit::{
            Actor, AuditOperation, AwsCallRecord, Completion, Compliance, DecisionRecord, Event, EventId,
            FindingChange, FindingRecord, JournalEntry, Keys, Kind, ReconciliationResult,
        },
        call::Action,
        principal::Delegation,
        reason::Reason,
    },
    ports::{AuditLog as _, Clock},
    store,
};

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let folder = PathBuf::from(args.next().ok_or("usage: audit_log FOLDER [COUNT]")?);
    let count: usize = args.next().and_then(|count| count.into_string().ok()).map_or(Ok(0), |n| n.parse())?;
    let file = folder.join("logkey.db");
    let store = store::open(&store::Config { url: format!("sqlite://{}", file.display()) }).await?;
    let key = SigningKey::open_or_create(&checkpoint::default_key_path(&file), "logkey")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let checked = Sequencer::check(store.log, store.tree, Arc::clone(&clock), key).await?;
    let tagger = checked.tagger();
    let sequencer = checked.start().await?;
    let events = store.events;
    let config = audit::Config::default();
    let journal =
        Arc::new(Journal::start(Arc::clone(&events), Arc::clone(&clock), Arc::clone(&tagger), config));
    let samples = samples(&*clock)?;
    for event in &samples {
        let id = journal.commit(JournalEntry::event_only(event.clone())).await?;
        if event.kind == Kind::Intent {
            // Close the intent, so that the log has no pending changes.
            let end = Some(Completion { failure: None, aws_error: None, latency: Duration::ZERO });
            let outcome = Event { kind: Kind::Outcome, closes: Some(id), end, ..event.clone() };
            journal.commit(JournalEntry::event_only(outcome)).await?;
        }
    }
    // The journal itself writes this kind of event: many equal refusals become one event with a count.
    for event in samples.iter().filter(|event| event.kind == Kind::Refusal).take(1) {
        (0..100).for_each(|_| journal.record_best_effort(event.clone()));
    }
    let mut calls = tokio::task::JoinSet::new();
    for event in samples.iter().filter(|event| event.kind != Kind::Intent).cycle().take(count).cloned() {
        let journal = Arc::clone(&journal);
        calls.spawn(async move { journal.commit(JournalEntry::event_only(event)).await });
        if calls.len() >= 256 {
            calls.join_next().await;
        }
    }
    calls.join_all().await;
    journal.close().await;
    // It also writes this kind: without room for events that nobody waits for, it counts the lost ones.
    let full = audit::Config { notes: 0, ..audit::Config::default() };
    let journal = Journal::start(events, Arc::clone(&clock), tagger, full);
    for event in samples.iter().filter(|event| event.kind == Kind::Read) {
        journal.record_best_effort(event.clone());
    }
    journal.close().await;
    sequencer.close().await;
    Ok(())
}

/// An event of every kind, operation, resource and completion.
fn samples(clock: &dyn Clock) -> Result<Vec<Event>, Box<dyn Error>> {
    let location = Location { account: "111122223333".parse()?, region: "eu-west-1".parse()? };
    let call = Event {
        kind: Kind::Intent,
        act: AuditOperation::Rpc(Action::AssociateKmsKey),
        actor: Actor {
            tenant: Some("payments".parse()?),
            subject: Some("Ünïcödé \u{202e}\u{1b}[31m\u{0}\"quoted\"\\".into()),
            issuer: Some("https://idp.example.com".into()),
            token_id: Some("jti-1".into()),
            delegation: Some(Delegation {
                on_behalf_of: "Zoë \u{202e}\u{0}".into(),
                actor: "portal \"backend\"\\".into(),
            }),
            source: Some("2001:db8::1".parse()?),
            unverified_user_agent: Some("grpc-node/1.9 \u{200b}".repeat(100).into()),
        },
        resource: Some(Resource {
            location: location.clone(),
            target: Target::LogGroup("/app/web#1".parse()?),
        }),
        keys: Keys { requested: Some("alias/x".into()), resolved: Some(KEY.parse()?), previous: None },
        reason: Some("ticket 42".into()),
        decision: Some(DecisionRecord { allowed: true, policies: vec!["grants".into(), "extra".into()] }),
        via: AwsCallRecord {
            role_arn: Some("arn:aws:iam::111122223333:role/LogKey".into()),
            session_name: Some("payments".into()),
            aws_request_ids: vec!["aws-1".into(), "aws-2".into()],
        },
        ..Event::for_service(AuditOperation::Start, clock.now())
    };
    let end = |failure| Completion {
        failure,
        aws_error: failure.map(|_| "AccessDeniedException".into()),
        latency: Duration::from_micros(1234),
    };
    let own = |act| Event { end: Some(end(None)), ..Event::for_service(act, clock.now()) };
    let mut all: Vec<Event> =
        [AuditOperation::Start, AuditOperation::Stop, AuditOperation::Reload].map(own).into();
    let refused = Some(end(Some(Reason::FieldInvalid)));
    all.push(Event { end: refused, detail: Some("a problem".into()), ..own(AuditOperation::Reload) });
    let intent = EventId(uuid::Uuid::from_u128(1));
    for action in Action::ALL.into_iter().chain([Action::Unknown]) {
        all.push(Event {
            act: AuditOperation::Rpc(action),
            kind: Kind::Read,
            end: Some(end(None)),
            ..call.clone()
        });
    }
    for target in [Target::LogGroup("/app/web".parse()?), Target::QueryResults] {
        all.push(Event { resource: Some(Resource { location: location.clone(), target }), ..call.clone() });
    }
    for reconciled in [
        ReconciliationResult::Effective,
        ReconciliationResult::NotEffective,
        ReconciliationResult::Indeterminate,
    ] {
        all.push(Event { kind: Kind::Reconciled(reconciled), closes: Some(intent), ..call.clone() });
    }
    all.push(Event { kind: Kind::Outcome, closes: Some(intent), end: Some(end(None)), ..call.clone() });
    for reason in Reason::ALL {
        let detail = Some("why \n it failed".repeat(500).into());
        let decision = Some(DecisionRecord { allowed: false, policies: Vec::new() });
        let refused = Event {
            kind: Kind::Refusal,
            end: Some(end(Some(*reason))),
            detail,
            decision,
            count: 3,
            ..call.clone()
        };
        all.push(Event { actor: Actor::default(), resource: None, ..refused.clone() });
        all.push(refused);
    }
    all.extend(findings(&call, clock));
    Ok(all)
}

/// A finding of every change and kind of compliance.
fn findings(call: &Event, clock: &dyn Clock) -> Vec<Event> {
    let changes = [FindingChange::New, FindingChange::Changed, FindingChange::Resolved];
    let all = [Compliance::Unknown, Compliance::Pass, Compliance::Warning, Compliance::Fail];
    let pairs = changes.into_iter().flat_map(|change| all.map(|compliance| (change, compliance)));
    let event = |(change, compliance)| {
        let is_full = compliance == Compliance::Fail;
        let text = |text: &str| is_full.then(|| Box::from(text));
        let finding = FindingRecord {
            id: uuid::Uuid::now_v7(),
            change,
            kind: "NO_KEY",
            title: "No KMS key is set",
            compliance,
            rule: text("all"),
            since: clock.now(),
            message: "the log group has no KMS key".into(),
            remedy: text("add the statement").unwrap_or_default(),
            remedy_document: text("{\"Effect\":\"Allow\"}"),
            current_key: text(KEY),
            changed_by: text("arn:aws:iam::111122223333:user/x"),
        };
        Event {
            kind: Kind::Finding,
            actor: Actor { tenant: call.actor.tenant.clone(), ..Actor::default() },
            resource: call.resource.clone(),
            finding: Some(Box::new(finding)),
            ..Event::for_service(AuditOperation::Finding, clock.now())
        }
    };
    pairs.map(event).collect()
}
