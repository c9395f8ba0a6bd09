//! The file sink of a whole service.

use std::fs;

use serde_json::Value;

use crate::harness::{ALL, GROUP, Plan, key};

#[tokio::test]
async fn a_service_writes_its_events_to_a_file_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let sinks = format!("[[audit.sinks]]\ntype = \"file\"\npath = \"{}\"\n", path.display());
    let service = Plan::default().settings(&sinks).start().await;
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    let service = service.restart().await;
    service.caller("payments", ALL).disassociate(GROUP).await.unwrap();
    service.stop().await;

    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = lines
        .iter()
        .filter(|line| line.get("checkpoint").is_none())
        .map(|line| {
            let event = (&line["metadata"]["event_code"], &line["api"]["operation"]);
            (event.0.as_str().unwrap(), event.1.as_str().unwrap())
        })
        .collect();
    let of = |operation| events.iter().filter(|(_, it)| *it == operation).map(|(kind, _)| *kind).collect();
    let (set, removed): (Vec<_>, Vec<_>) = (of("AssociateKmsKey"), of("DisassociateKmsKey"));
    assert_eq!(
        (&set[..], &removed[..]),
        (&["intent", "outcome"][..], &["intent", "outcome"][..]),
        "{events:?}"
    );
    let newest = lines.last().unwrap();
    assert_eq!(newest["checkpoint"]["size"], events.len(), "the last line is a checkpoint of all events");
}
