//! The commands and the sinks with archived events.

use super::*;
use crate::client::Cli;

/// What a command of `logkey audit` printed to standard output and to standard error.
fn audit(arguments: &[&str], store: &str) -> (String, String) {
    let done = logkey(&[&["audit"], arguments, &["--store", store]].concat()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(done.stdout), text(done.stderr))
}

/// The positions in the document of a list.
fn positions(document: &serde_json::Value) -> Vec<i64> {
    let events = document["events"].as_array().unwrap().iter();
    events.map(|event| event["position"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_commands_show_archived_events_and_say_what_they_leave_out() {
    let aged = Aged::new().await;
    let service = aged.serve().await;
    let cli = Cli::new(&service, OWN);
    let all: Vec<i64> = aged.visible(Some("payments")).into_iter().rev().map(|(at, _)| at).collect();
    let stored = all.iter().copied().filter(|at| *at > ARCHIVED).collect::<Vec<_>>();
    let list = ["events", "list", "--limit", "5000", "--action", "GetKeyAssociation"];
    let document = cli.json(&list).await;
    assert_eq!((positions(&document), &document["archivedThrough"]), (stored, &ARCHIVED.to_string().into()));
    let table = cli.ok(&list).await;
    assert!(table.contains("The events up to position 768 are archived and were not searched"), "{table}");
    for more in [&["--archived"][..], &["--since", "72h"]] {
        let document = cli.json(&[&list, more].concat()).await;
        assert_eq!((positions(&document), &document["archivedThrough"]), (all.clone(), &"0".into()));
    }
    let event = aged.archived();
    let request = ParsedEvent::try_from(event).unwrap().correlation;
    for name in [event.seq.to_string(), event.id.to_string(), request] {
        let shown = cli.json(&["events", "show", &name]).await;
        assert_eq!(positions(&shown), [i64::try_from(event.seq).unwrap()], "{name}");
    }
    let absent = cli.run(&["events", "show", "no-such-request"]).await;
    assert_eq!(absent.code, 4);
    assert!(absent.stderr.contains("events list --archived --request no-such-request"), "{}", absent.stderr);
    let limit = all.len().to_string();
    let followed = cli.ok(&["events", "follow", "--after", "0", "--limit", &limit, "-o", "name"]).await;
    let ids = aged.events.iter().filter(|event| event.tenant.as_deref() == Some("payments"));
    assert!(followed.lines().map(str::to_owned).eq(ids.map(|event| event.id.to_string())));
    service.stop().await;

    let service = aged.serve_with("").await;
    let cli = Cli::new(&service, OWN);
    for refused in [&["events", "follow", "--after", "0"][..], &[&list[..], &["--since", "72h"]].concat()] {
        let ended = cli.run(refused).await;
        assert_eq!(ended.code, 1, "{refused:?}: {}", ended.stdout);
        assert!(ended.stderr.contains("OUT_OF_RANGE (AUDIT_EVENTS_ARCHIVED)"), "{}", ended.stderr);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_commands_show_archived_events_and_say_what_they_leave_out() {
    let aged = Aged::new().await;
    let store = store::Config::of_file(&aged.folder.path().join("logkey.db")).url;
    let archive = aged.archive().display().to_string();
    let list = ["list", "--limit", "5000", "-o", "name"];
    let ids = |from: usize| {
        let ids: Vec<_> = aged.events.iter().skip(from).rev().map(|event| event.id.to_string()).collect();
        ids.join("\n") + "\n"
    };
    let (listed, said) = audit(&[&list, &["--archive", &archive][..]].concat(), &store);
    assert!(listed.ends_with(&ids(0)), "{said}");
    assert_eq!(said, "");
    let archived = usize::try_from(ARCHIVED).unwrap();
    let (listed, said) = audit(&list, &store);
    assert!(listed.ends_with(&ids(archived)) && !listed.contains(&aged.archived().id.to_string()));
    assert!(said.contains("events 1 to 768 were archived and are not listed: name their archive"), "{said}");
    let (_, said) = audit(&["list", "--since", "1h"], &store);
    assert_eq!(said, "", "no archived event is so new");
    let event = aged.archived();
    let request = ParsedEvent::try_from(event).unwrap().correlation;
    for name in [event.seq.to_string(), event.id.to_string(), request] {
        let (shown, said) = audit(&["show", &name, "--raw", "--archive", &archive], &store);
        assert_eq!(shown, format!("{}\n", event.body), "{said}");
        let (shown, said) = audit(&["show", &name], &store);
        assert_eq!(shown, "");
        assert!(said.contains("events 1 to 768 were archived: name their archive"), "{said}");
    }
    let (old, said) = audit(&["list", "--until", "40h", "--limit", "1", "--archive", &archive], &store);
    assert!(old.contains("GetKeyAssociation"), "{old}{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sink_gets_archived_events_first() {
    let aged = Aged::new().await;
    let file = aged.folder.path().join("copy.jsonl");
    let sink = format!("[[audit.sinks]]\nname = \"copy\"\ntype = \"file\"\npath = \"{}\"\n", file.display());
    let service = aged.serve_with(&format!("archive = \"{}\"\n{sink}", aged.archive().display())).await;
    let mut copied: Vec<String> = Vec::new();
    for _ in 0..1200 {
        let lines = std::fs::read_to_string(&file).unwrap_or_default();
        copied =
            lines.lines().filter(|line| !line.starts_with("{\"checkpoint\"")).map(str::to_owned).collect();
        if copied.len() >= aged.events.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let expected = aged.events.iter().map(|event| event.body.as_str());
    assert!(copied.iter().map(String::as_str).take(aged.events.len()).eq(expected), "{}", copied.len());
    service.stop().await;
}
