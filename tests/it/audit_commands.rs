//! `logkey audit` as people and scripts use it: its output and its exit codes.

use std::{path::Path, sync::Arc, time::Duration};

use logkey::{
    app::SystemClock,
    audit::{
        self, Journal, Sequencer,
        checkpoint::{self, SigningKey},
    },
    domain::{
        association::{Location, Resource, Target},
        audit::{Actor, AuditOperation, Completion, Event, JournalEntry, Kind},
        call::Action,
        reason::Reason,
    },
    ports::{AuditLog as _, Clock as _},
    store,
};
use tempfile::TempDir;

use crate::{
    audit_commands_offline::{audit, grow},
    audit_tampering::forger::Database,
    harness::{ISSUER, SettingsText, TestIssuer},
    process::logkey,
};

/// Runs a subcommand of `logkey audit` with these arguments.
fn run_logkey(arguments: &[&str]) -> (Option<i32>, String) {
    let done = logkey(&[&["audit"], arguments].concat()).output().unwrap();
    (done.status.code(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
}

fn url(folder: &Path) -> String {
    format!("sqlite://{}/logkey.db", folder.display())
}

async fn first_id(folder: &Path) -> String {
    let open = store::open_reader(&store::Config { url: url(folder) }).await.unwrap();
    open.log.after(0, 1).await.unwrap().remove(0).id.to_string()
}

async fn tamper(folder: &Path, sql: &'static str) {
    let mut file = Database::open_as_text(folder).await;
    file.run(sql).await;
    file.close().await;
}

fn copy_folder(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

#[tokio::test]
async fn each_subcommand_reports_its_result_as_an_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path(), 3).await;
    let (store, id) = (url(dir.path()), first_id(dir.path()).await);
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("bad.toml"), "[store]\nurll = \"x\"\n").unwrap();
    std::fs::write(at("nonsense"), "this is no note\n").unwrap();
    let unrelated = SigningKey::open_or_create(Path::new(&at("stranger.pem")), "logkey").unwrap();
    let (none, bad, nonsense) = (format!("sqlite://{}", at("none.db")), at("bad.toml"), at("nonsense"));
    let (absent, out) = (uuid::Uuid::now_v7().to_string(), at("out"));
    let cases: &[(&[&str], i32, &str)] = &[
        (&["list", "--store", &store], 0, "Start"),
        (&["list", "--store", &none], 1, "there is no store"),
        (&["list", "--config", &bad], 2, "bad.toml:2:"),
        (&["list", "--config", "/nonexistent/logkey.toml"], 2, "/nonexistent/logkey.toml"),
        (&["list"], 2, "logkey.toml: cannot be read"),
        (&["list", "--store", &store, "--since", "yesterday"], 2, "2026-01-31T08:00:00Z"),
        (&["show", &id, "--store", &store], 0, "lifecycle"),
        (&["show", "1", "--store", &store], 0, &id),
        (&["show", "4", "--store", &store], 1, "the log has no event"),
        (&["show", &absent, "--store", &store], 1, "the log has no event"),
        (&["show", "one", "--store", &store], 1, "the log has no event"),
        (&["prove", &id, "--store", &store], 0, "c2sp.org/tlog-proof@v1"),
        (&["prove", &absent, "--store", &store], 1, "the log has no event"),
        (&["export", "--store", &store, "--out", &out], 0, "3 events written"),
        (&["export", "--store", &store, "--out", "/proc/none"], 1, "No such file"),
        (&["verify", "--store", &store], 0, "intact: 3 events"),
        (&["verify", "--config", &bad], 2, "bad.toml:2:"),
        // A log that cannot be checked is not a finding.
        (&["verify", "--store", &none], 2, "there is no store"),
        (&["verify", "--store", &store, "--checkpoint", "/nonexistent"], 2, "No such file"),
        (&["verify", "--store", &store, "--checkpoint", &nonsense], 2, "not a signed note"),
        (&["verify", "--store", &store, "--archive", "/nonexistent"], 2, "has no `checkpoint` file"),
        (&["verify", "--store", &store, "--verifier", &nonsense], 2, "neither a verifier key"),
        (&["verify", "--store", &store, "--verifier", "/nonexistent"], 2, "neither a verifier key"),
        (&["verify", "--store", &store, "--verifier", unrelated.verifier()], 1, "cannot be trusted"),
        (&["archive", "--store", &store], 1, "age of the events to move is not set"),
        (&["archive", "--store", &store, "--older-than", "1d"], 1, "the archive is not set"),
        (&["archive", "--store", &store, "--older-than", "soon"], 2, "90d"),
        (&["rotate-key", "--store", &none], 1, "checkpoint key"),
    ];
    for (arguments, code, expected) in cases {
        let (finished, output) = run_logkey(arguments);
        assert_eq!(finished, Some(*code), "{arguments:?}: {output}");
        assert!(output.contains(expected), "{arguments:?}: {output}");
    }
    assert!(!Path::new(&at("none.db")).exists(), "reading creates no file");
    let (code, output) = run_logkey(&["show", &id, "--raw", "--store", &store]);
    let body: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, &body["metadata"]["uid"]), (Some(0), &serde_json::json!(id)));
}

#[tokio::test]
async fn verify_says_which_event_was_changed_and_how() {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path(), 300).await;
    let cases = [
        (
            "UPDATE event SET body = replace(body, 'Informational', 'Unimportant!!') WHERE seq = 7",
            "event 7 was altered",
        ),
        ("DELETE FROM event WHERE seq BETWEEN 10 AND 12", "events 10 to 12 were removed"),
        ("DELETE FROM event WHERE seq > 290", "events 291 to 300 were removed"),
        (
            "CREATE TEMP TABLE two AS SELECT seq, body FROM event WHERE seq IN (5, 6); \
             UPDATE event SET body = (SELECT body FROM two WHERE two.seq = 11 - event.seq) WHERE seq IN (5, 6)",
            "events were reordered: position 5 holds the event that was signed at position 6",
        ),
        (
            "DELETE FROM batch_of_call; UPDATE batch SET until = since - 1",
            "the index of event 1 does not match its bytes: time, correlation",
        ),
        ("DELETE FROM checkpoint", "the log's newest checkpoint cannot be trusted"),
    ];
    for (sql, expected) in cases {
        let copy = copy_folder(dir.path());
        tamper(copy.path(), sql).await;
        let (code, output) = audit(copy.path(), &["verify"]);
        assert!(code == Some(1) && output.starts_with(expected), "{sql}: {output}");
        assert!(output.contains("changed: "), "{output}");
    }
    // A changed event cannot be proved either.
    let id = first_id(dir.path()).await;
    let copy = copy_folder(dir.path());
    tamper(copy.path(), "UPDATE event SET body = body || ' ' WHERE seq = 1").await;
    let (code, output) = audit(copy.path(), &["prove", &id]);
    assert!(code == Some(1) && output.contains("does not match the signed root"), "{output}");

    // These changes show only against a checkpoint that was kept.
    let older = copy_folder(dir.path());
    grow(dir.path(), 5).await;
    let out = dir.path().join("out").display().to_string();
    assert_eq!(audit(dir.path(), &["export", "--out", &out]).0, Some(0));
    let kept_checkpoint = format!("{out}/checkpoint");
    let against = |folder: &Path| audit(folder, &["verify", "--checkpoint", &kept_checkpoint]);
    assert_eq!(against(dir.path()).0, Some(0));
    assert_eq!(audit(older.path(), &["verify"]).0, Some(0));
    let (code, output) = against(older.path());
    let expected = "the log was rolled back: its newest checkpoint covers 300 events, but the kept checkpoint covers 305";
    assert!(code == Some(1) && output.starts_with(expected), "{output}");
    grow(older.path(), 9).await;
    let (code, output) = against(older.path());
    let expected = "the log was forked: its first 305 events are not those of the kept checkpoint";
    assert!(code == Some(1) && output.starts_with(expected), "{output}");
}

#[tokio::test]
async fn an_event_that_is_not_utf8_is_a_finding_and_is_left_out_of_lists() {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path(), 5).await;
    tamper(dir.path(), "UPDATE event SET body = CAST(x'7bff7d' AS TEXT) WHERE seq = 3").await;
    let (code, output) = audit(dir.path(), &["verify"]);
    assert!(code == Some(1) && output.starts_with("event 3 was altered"), "{output}");
    for arguments in [&["list"][..], &["list", "--json"]] {
        let (code, output) = audit(dir.path(), arguments);
        assert_eq!(code, Some(0), "{output}");
        assert_eq!(output.matches("Start").count(), 4 * if arguments.len() == 2 { 2 } else { 1 }, "{output}");
        assert!(output.contains("event 3 cannot be read"), "{output}");
    }
}

/// Settings of a log with another origin and an archive for old events.
fn settings(dir: &Path) -> String {
    std::fs::write(dir.join("jwks.json"), TestIssuer::new("k").jwks()).unwrap();
    let audit = "checkpoint_origin = \"example.org/log\"\ncheckpoint_key_file = \"signing.pem\"\n\
                 retention = \"1d\"\narchive = \"archive\"\n";
    let toml = SettingsText::default()
        .store(&url(dir))
        .issuer(ISSUER, Path::new("jwks.json"))
        .table("audit", audit)
        .to_string();
    let path = dir.join("logkey.toml");
    std::fs::write(&path, toml).unwrap();
    path.display().to_string()
}

/// Writes 300 events from two days ago and 300 from now, and signs them with that origin.
async fn old_and_new(dir: &Path) {
    let key = SigningKey::open_or_create(&dir.join("signing.pem"), "example.org/log").unwrap();
    let store = store::open(&store::Config { url: url(dir) }).await.unwrap();
    let clock = Arc::new(SystemClock);
    let checked = Sequencer::check(store.log, store.tree, clock.clone(), key).await.unwrap();
    let journal = Journal::start(store.events, clock, checked.tagger(), audit::Config::default());
    for days in [2, 0] {
        let time = SystemClock.now().minus(Duration::from_hours(24 * days));
        for _ in 0..300 {
            journal
                .commit(JournalEntry::event_only(Event::for_service(AuditOperation::Start, time)))
                .await
                .unwrap();
        }
    }
    journal.close().await;
    checked.start().await.unwrap().close().await;
}

#[tokio::test]
async fn the_settings_supply_the_log_location_origin_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let config = settings(dir.path());
    old_and_new(dir.path()).await;
    let run = |arguments: &[&str]| run_logkey(&[arguments, &["--config", &config]].concat());
    let (code, output) = run(&["verify"]);
    assert!(code == Some(0) && output.starts_with("intact: 600 events"), "{output}");
    // Only whole tiles of events from two days ago are archived, and none from now.
    let (code, output) = run(&["archive"]);
    assert!(code == Some(0) && output.starts_with("256 events moved out"), "{output}");
    let archive = dir.path().join("archive");
    let note = std::fs::read_to_string(archive.join("checkpoint")).unwrap();
    assert!(note.starts_with("example.org/log\n256\n"), "{note}");
    // The settings also say where the archive is.
    for arguments in [&["verify"][..], &["verify", "--archive", archive.to_str().unwrap()]] {
        let (code, output) = run(arguments);
        assert!(code == Some(0) && output.contains("intact: 601 events"), "{output}");
    }
    let (code, output) = run(&["archive"]);
    assert!(code == Some(0) && output.starts_with("0 events moved out"), "{output}");
    let by_another_name = run_logkey(&[
        "verify",
        "--store",
        &url(dir.path()),
        "--verifier",
        SigningKey::open(&dir.path().join("signing.pem"), "example.org/log").unwrap().verifier(),
    ]);
    assert!(
        by_another_name.0 == Some(1) && by_another_name.1.contains("example.org/log"),
        "{by_another_name:?}"
    );
    assert!(!checkpoint::default_key_path(&dir.path().join("logkey.db")).exists());
}

#[tokio::test]
async fn a_list_shows_the_filtered_events_newest_first_as_text_and_json() {
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::Config { url: url(dir.path()) }).await.unwrap();
    let key = SigningKey::open_or_create(&dir.path().join("signing.pem"), "logkey").unwrap();
    let (clock, config) = (Arc::new(SystemClock), audit::Config::default());
    let journal = Journal::start(store.events, clock, audit::BatchTagger::new(&key), config);
    let now = SystemClock.now();
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    for (tenant, subject, hours, failure, group) in [
        ("payments", "alice", 5, None, "/app/a"),
        ("payments", "bob", 3, Some(Reason::NotAllowed), "/app/b"),
        ("orders", "alice", 1, None, "/app/c"),
    ] {
        let event = Event {
            kind: Kind::Outcome,
            act: AuditOperation::Rpc(Action::AssociateKmsKey),
            correlation: format!("call-{hours}").parse().unwrap(),
            actor: Actor { tenant: tenant.parse().ok(), subject: Some(subject.into()), ..Actor::default() },
            resource: Some(Resource {
                location: location.clone(),
                target: Target::LogGroup(group.parse().unwrap()),
            }),
            end: Some(Completion { failure, aws_error: None, latency: Duration::ZERO }),
            ..Event::for_service(AuditOperation::Start, now.minus(Duration::from_hours(hours)))
        };
        journal.commit(JournalEntry::event_only(event)).await.unwrap();
    }
    journal.close().await;
    let arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/app/b";
    let before = jiff::Timestamp::from_microsecond(now.minus(Duration::from_hours(2)).as_micros()).unwrap();
    let before = before.to_string();
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["/app/c", "/app/b", "/app/a"]),
        (&["--limit", "2"], &["/app/c", "/app/b"]),
        (&["--tenant", "payments"], &["/app/b", "/app/a"]),
        (&["--subject", "alice"], &["/app/c", "/app/a"]),
        (&["--since", "4h"], &["/app/c", "/app/b"]),
        (&["--until", &before], &["/app/b", "/app/a"]),
        (&["--since", "4h", "--until", "2h"], &["/app/b"]),
        (&["--outcome", "NOT_ALLOWED"], &["/app/b"]),
        (&["--outcome", "OK", "--tenant", "orders"], &["/app/c"]),
        (&["--correlation", "call-5"], &["/app/a"]),
        (&["--resource", arn], &["/app/b"]),
        (&["--action", "AssociateKmsKey"], &["/app/c", "/app/b", "/app/a"]),
        (&["--action", "Start"], &[]),
    ];
    for (filter, groups) in cases {
        let (code, output) = audit(dir.path(), &[&["list"], *filter].concat());
        assert_eq!(code, Some(0), "{filter:?}: {output}");
        let rows: Vec<&str> = output.lines().skip(1).collect();
        assert_eq!(rows.len(), groups.len(), "{filter:?}: {output}");
        assert!(rows.iter().zip(*groups).all(|(row, group)| row.contains(group)), "{filter:?}: {output}");
        let (code, output) = audit(dir.path(), &[&["list", "--json"], *filter].concat());
        assert_eq!(code, Some(0), "{filter:?}: {output}");
        let names: Vec<String> = output
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|event| event["resources"][0]["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, *groups, "{filter:?}");
    }
    for (filter, value, expected) in [
        ("--outcome", "NOPE", "possible values: OK, TOKEN_MISSING"),
        ("--outcome", "NOT_ALOWED", "a similar value exists: 'NOT_ALLOWED'"),
        ("--outcome", "NOT_ALLOWED ", "'NOT_ALLOWED'"),
        ("--outcome", "NO_KEYS", "'NO_KEY'"),
        ("--action", "AssociateKmsKeys", "a similar value exists: 'AssociateKmsKey'"),
        ("--action", "RotateKeys", "'RotateKey'"),
        ("--resource", "/app/b", "expected an ARN such as arn:aws:logs:"),
    ] {
        let (code, output) = audit(dir.path(), &["list", filter, value]);
        assert_eq!(code, Some(2), "{value}: {output}");
        assert!(output.contains(expected), "{value}: {output}");
    }
}
