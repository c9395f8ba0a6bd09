//! What `logkey audit list` and `show` print: on terminals of several widths, into pipes, and as documents.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use logkey::{
    app::SystemClock,
    audit::{self, Journal, checkpoint::SigningKey},
    domain::{
        association::{Location, Resource, Target},
        audit::{
            Actor, AuditOperation, Completion, Event, EventId, JournalEntry, Kind, ReconciliationResult,
        },
        call::Action,
        reason::Reason,
    },
    ports::{AuditLog as _, Clock as _},
    store,
};
use serde_json::Value;

use crate::{audit_commands_offline::audit, child::KillOnDrop, process::logkey};

/// The caller's request id of the change in [`record`].
const REQUEST: &str = "3f0d3c9e-5f6f-4a51-9c0c-2f7f6a1f0a11";

fn event(kind: Kind, request: &str, tenant: &str) -> Event {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let group = "/payments/a-log-group-with-a-name-that-is-long".parse().unwrap();
    Event {
        kind,
        act: AuditOperation::Rpc(Action::AssociateKmsKey),
        correlation: request.parse().unwrap(),
        actor: Actor { tenant: tenant.parse().ok(), subject: Some("alice".into()), ..Actor::default() },
        resource: Some(Resource { location, target: Target::LogGroup(group) }),
        ..Event::for_service(AuditOperation::Start, SystemClock.now())
    }
}

fn failed(event: Event, failure: Option<Reason>) -> Event {
    Event { end: Some(Completion { failure, aws_error: None, latency: Duration::from_millis(12) }), ..event }
}

/// Records a change that was interrupted and reconciled, a call of another tenant with the same request id, and
/// a refusal.
async fn record(folder: &Path) {
    let url = format!("sqlite://{}/logkey.db", folder.display());
    let store = store::open(&store::Config { url }).await.unwrap();
    let key = SigningKey::open_or_create(&folder.join("signing.pem"), "logkey").unwrap();
    let (tagger, config) = (audit::BatchTagger::new(&key), audit::Config::default());
    let journal = Journal::start(store.events, Arc::new(SystemClock), tagger, config);
    let commit = async |event| journal.commit(JournalEntry::event_only(event)).await.unwrap();
    let intent: EventId = commit(event(Kind::Intent, REQUEST, "payments")).await;
    commit(failed(event(Kind::Outcome, REQUEST, "orders"), None)).await;
    let refused = failed(event(Kind::Refusal, "call-2", "payments"), Some(Reason::KeyPolicyLacksLogsService));
    commit(refused).await;
    let settled = event(Kind::Reconciled(ReconciliationResult::Effective), REQUEST, "payments");
    commit(Event { closes: Some(intent), ..failed(settled, None) }).await;
    journal.close().await;
}

/// Runs a command on a terminal with this many columns.
fn on_terminal(folder: &Path, columns: u16, arguments: &str) -> String {
    let run = format!(
        "stty rows 40 cols {columns}; {} audit {arguments} --store sqlite://{}/logkey.db",
        env!("CARGO_BIN_EXE_logkey"),
        folder.display()
    );
    let output =
        Command::new("script").args(["-qec", &run, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

#[tokio::test]
async fn lists_and_stories_fit_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    for columns in [60, 80, 120, 200] {
        for arguments in ["list", "list --limit 1", &format!("show {REQUEST}"), "show 1"] {
            let output = on_terminal(dir.path(), columns, arguments);
            let longest = output.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(longest <= usize::from(columns) && longest > 10, "{columns} {arguments}:\n{output}");
        }
    }
    let narrow = on_terminal(dir.path(), 80, "list");
    let header: Vec<&str> = narrow.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["POSITION", "EVENT", "TIME", "ACTION", "OUTCOME"], "{narrow}");
    assert!(narrow.contains("AssociateKmsKey  (intent)"), "{narrow}");
    let wide = on_terminal(dir.path(), 250, "list");
    assert!(wide.lines().next().unwrap().contains("TENANT"), "{wide}");
}

#[tokio::test]
async fn a_story_is_found_by_position_id_and_request_id() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let (_, names) = audit(dir.path(), &["list", "-o", "name"]);
    let ids: Vec<&str> = names.lines().rev().collect();
    let positions = |name: &str| -> Vec<String> {
        let (code, output) = audit(dir.path(), &["show", name, "-o", "json"]);
        assert_eq!(code, Some(0), "{output}");
        let document: Value = serde_json::from_str(&output).unwrap();
        let events = document["events"].as_array().unwrap();
        events.iter().map(|event| event["position"].as_str().unwrap().to_owned()).collect()
    };
    // The other tenant's call with the same request id is another story.
    assert_eq!(positions("1"), ["1", "4"]);
    assert_eq!(positions(ids[3]), ["1", "4"]);
    assert_eq!(positions("2"), ["2"]);
    assert_eq!(positions(REQUEST), ["1", "2", "4"]);
    let (_, story) = audit(dir.path(), &["show", "1"]);
    for part in ["alice", "a-log-group-with-a-name", "intent", "settled", "in force", "12 ms", REQUEST] {
        assert!(story.contains(part), "{part}: {story}");
    }
    assert!(story.ends_with("Reconciled by reading from AWS: the change is in force.\n"), "{story}");
    let (_, refused) = audit(dir.path(), &["show", "call-2"]);
    assert!(refused.contains("The call failed with KEY_POLICY_LACKS_LOGS_SERVICE"), "{refused}");
}

#[tokio::test]
async fn each_form_of_output_has_every_event() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    for form in ["json", "yaml", "csv", "name", "wide", "table"] {
        let (code, output) = audit(dir.path(), &["list", "-o", form]);
        assert_eq!(code, Some(0), "{form}: {output}");
        let lines = output.lines().count();
        match form {
            "json" => {
                let document: Value = serde_json::from_str(&output).unwrap();
                let event = &document["events"][1];
                assert_eq!(event["outcome"], "KEY_POLICY_LACKS_LOGS_SERVICE");
                assert_eq!((&event["tenantId"], &event["count"]), (&"payments".into(), &1.into()));
                let stored: Value = serde_json::from_str(event["json"].as_str().unwrap()).unwrap();
                assert_eq!(stored["metadata"]["uid"], event["id"]);
            }
            "yaml" => assert_eq!(output.matches("tenantId:").count(), 4, "{output}"),
            "name" => assert_eq!(lines, 4, "{output}"),
            _ => assert_eq!(lines, 5, "{form}: {output}"),
        }
    }
    assert_eq!(audit(dir.path(), &["list", "--quiet"]), (Some(0), String::new()));
}

#[tokio::test]
async fn a_closed_pipe_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let store = format!("sqlite://{}/logkey.db", dir.path().display());
    let backup = dir.path().join("backup").display().to_string();
    for arguments in [
        &["audit", "list", "--json"][..],
        &["audit", "list"],
        &["audit", "show", "1"],
        &["backup", "--out", &backup, "--without-key"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = logkey(&[arguments, &["--store", &store]].concat());
        let output =
            command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

#[tokio::test]
async fn a_followed_list_prints_events_as_they_happen() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let store = format!("sqlite://{}/logkey.db", dir.path().display());
    let mut command = logkey(&["audit", "list", "--follow", "--limit", "1", "--store", &store]);
    let mut child = KillOnDrop(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().trim_start().starts_with("4 "), "the newest of the earlier ones");
    record(dir.path()).await;
    for position in 5..=8 {
        let line = lines.next().unwrap();
        assert!(line.trim_start().starts_with(&format!("{position} ")), "{line}");
        assert!(line.contains("AssociateKmsKey"), "{line}");
    }
}

#[tokio::test]
async fn a_followed_list_as_csv_has_one_header() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let store = format!("sqlite://{}/logkey.db", dir.path().display());
    let mut command = logkey(&["audit", "list", "--follow", "--limit", "2", "-o", "csv", "--store", &store]);
    let mut child = KillOnDrop(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    for start in ["position,action,outcome,", "3,AssociateKmsKey,", "4,AssociateKmsKey,"] {
        let line = lines.next().unwrap();
        assert!(line.starts_with(start), "{start}: {line}");
    }
}
