//! A log whose signing key is lost is restarted. The former log stays as files, and the first event names its
//! root.

use std::{path::Path, sync::Arc};

use logkey::{
    app::SystemClock,
    audit::{
        self, BatchTagger, Journal,
        checkpoint::{self, SigningKey},
        parsed_event::{ParsedEvent, RestartedEvent},
    },
    domain::{
        association::{Location, Resource, Target},
        audit::{AuditOperation, Event, JournalEntry, Kind, LogEvent},
        call::Action,
    },
    ports::{AuditLog as _, Clock as _},
    store,
};

use crate::audit_commands_offline::{audit, grow};

const RESTART: [&str; 2] = ["restart", "--lost-key"];

/// Writes an event, which no checkpoint covers.
async fn append(folder: &Path, event: Event) {
    let database = folder.join("logkey.db");
    let store = store::open(&store::Config::of_file(&database)).await.unwrap();
    let key = SigningKey::open_or_create(&checkpoint::default_key_path(&database), "logkey").unwrap();
    let (closing, tagger) = (store.closing, BatchTagger::new(&key));
    let journal = Journal::start(store.events, Arc::new(SystemClock), tagger, audit::Config::default());
    journal.commit(JournalEntry::event_only(event)).await.unwrap();
    journal.close().await;
    closing.close().await;
}

/// Writes the intent of a change, which gets no outcome and no signature.
async fn leave_open(folder: &Path) {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let event = Event {
        kind: Kind::Intent,
        act: AuditOperation::Rpc(Action::AssociateKmsKey),
        resource: Some(Resource { location, target: Target::LogGroup("/payments/api".parse().unwrap()) }),
        ..Event::for_service(AuditOperation::Start, SystemClock.now())
    };
    append(folder, event).await;
}

/// Writes and signs an event that says that this log follows another one.
async fn claim_restart(folder: &Path, said: &RestartedEvent) {
    let (size, root) = (said.size, said.root.as_str().into());
    let proof = said.proof.clone().unwrap_or_default().into();
    let log = Some(LogEvent::Restarted { size, root, proof });
    let event = Event { log, ..Event::for_service(AuditOperation::RestartLog, SystemClock.now()) };
    append(folder, event).await;
    grow(folder, 1).await;
}

#[tokio::test]
async fn a_log_without_its_key_restarts_and_names_the_former_root() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("logkey.db");
    grow(dir.path(), 3).await;
    let config = store::Config::of_file(&database);
    let old = store::open_reader(&config).await.unwrap().tree.checkpoint().await.unwrap().unwrap();
    leave_open(dir.path()).await;
    let (code, output) = audit(dir.path(), &["restart"]);
    assert!(code == Some(2) && output.contains("--lost-key"), "{output}");
    let (code, output) = audit(dir.path(), &RESTART);
    assert!(code == Some(1) && output.contains("so it is not lost"), "{output}");

    std::fs::remove_file(checkpoint::default_key_path(&database)).unwrap();
    let (code, output) = audit(dir.path(), &RESTART);
    assert!(code == Some(0) && output.contains("The former log of 3 events"), "{output}");
    assert!(output.contains("1 later event was not signed, and 1 change had no outcome"), "{output}");
    let (code, output) = audit(dir.path(), &["verify"]);
    assert!(code == Some(0) && output.contains("intact: 2 events"), "{output}");
    assert!(
        output.contains("the log was restarted") && output.contains("has 3 events and the root"),
        "{output}"
    );
    let (code, output) = audit(dir.path(), &RESTART);
    assert!(code == Some(1) && output.contains("so it is not lost"), "{output}");

    let open = store::open_reader(&config).await.unwrap();
    let events = open.log.after(0, 10).await.unwrap();
    let root = old.note.lines().nth(2).unwrap();
    assert!(
        events[0].body.contains(&format!("\"old_size\":3,\"old_root\":\"{root}\"")),
        "{}",
        events[0].body
    );
    let parsed: Vec<ParsedEvent> = events.iter().map(|event| event.try_into().unwrap()).collect();
    assert_eq!(parsed[0].action, "RestartLog");
    assert_eq!((&*parsed[1].kind, parsed[1].outcome.as_deref()), ("settled", Some("cannot tell")));
    assert!(open.log.open_intents(SystemClock.now()).await.unwrap().is_empty());

    let former = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let former = former.into_iter().find(|path| path.is_dir()).unwrap();
    assert_eq!(std::fs::read_to_string(former.join("checkpoint")).unwrap(), old.note);
    let unsigned = std::fs::read_to_string(former.join("unsigned.jsonl")).unwrap();
    assert!(unsigned.lines().count() == 1 && unsigned.contains("\"event_code\":\"intent\""), "{unsigned}");
    assert!(unsigned.contains(parsed[1].closes.as_deref().unwrap()), "{unsigned}");
    grow(dir.path(), 300).await;
    let (code, output) = audit(dir.path(), &["verify"]);
    assert!(code == Some(0) && output.contains("intact: 302 events"), "{output}");
    let root = old.note.lines().nth(2).unwrap();
    assert!(output.contains("the log was restarted") && output.contains(root), "{output}");
    let (code, output) = audit(dir.path(), &["verify", "-o", "json"]);
    assert!(code == Some(0) && output.contains("\"formerLog\""), "{output}");

    // The same claim with the same proof counts only in the first event.
    claim_restart(dir.path(), parsed[0].restarted.as_ref().unwrap()).await;
    let (code, output) = audit(dir.path(), &["verify"]);
    assert!(
        code == Some(1) && output.contains("event 303 says that this log follows a former one"),
        "{output}"
    );
}

#[tokio::test]
async fn a_restart_that_the_new_key_did_not_sign_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path(), 0).await;
    let said = RestartedEvent { size: 3, root: "cm9vdA==".into(), proof: None };
    claim_restart(dir.path(), &said).await;
    let (code, output) = audit(dir.path(), &["verify"]);
    assert!(
        code == Some(1) && output.contains("event 1 says that this log follows a former one"),
        "{output}"
    );
}

#[tokio::test]
async fn a_restart_that_no_checkpoint_covers_is_reported_too() {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path(), 0).await;
    let log = LogEvent::Restarted { size: 3, root: "cm9vdA==".into(), proof: "none".into() };
    let log = Some(log);
    let event = Event { log, ..Event::for_service(AuditOperation::RestartLog, SystemClock.now()) };
    append(dir.path(), event).await;
    let (code, output) = audit(dir.path(), &["verify"]);
    assert!(
        code == Some(1) && output.contains("event 1 says that this log follows a former one"),
        "{output}"
    );
}

#[tokio::test]
async fn a_log_without_a_checkpoint_needs_no_restart() {
    let dir = tempfile::tempdir().unwrap();
    leave_open(dir.path()).await;
    let key = checkpoint::default_key_path(&dir.path().join("logkey.db"));
    std::fs::remove_file(&key).unwrap();
    let (code, output) = audit(dir.path(), &RESTART);
    assert!(code == Some(1) && output.contains("no key is lost"), "{output}");
    assert!(!key.exists());
}
