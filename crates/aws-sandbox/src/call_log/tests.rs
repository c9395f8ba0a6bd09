use serde_json::json;

use super::*;

fn entry(operation: &str) -> Entry {
    Entry {
        sequence: 0,
        time: Timestamp::UNIX_EPOCH,
        service: Service::Logs,
        operation: operation.to_owned(),
        account: String::new(),
        region: String::new(),
        caller: String::new(),
        role: None,
        session_name: None,
        source_identity: None,
        external_id: None,
        params: Map::new(),
        request_id: String::new(),
        invocation_id: None,
        traceparent: None,
        outcome: Outcome::Received,
        decided: None,
        answered: false,
        faults: Vec::new(),
    }
}

#[test]
fn the_oldest_calls_are_dropped_and_the_rest_keep_their_numbers() {
    let journal = CallLog::new(3);
    let numbers: Vec<u64> = ["a", "b", "c", "d", "e"].map(|name| journal.open(entry(name))).into();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    // Call 1 has been dropped; call 4 is still recorded.
    journal.mark_answered(1);
    journal.assign_outcome(4, Ok(()), Timestamp::UNIX_EPOCH);
    let entries: Vec<_> = journal.since(0, 10).into_iter().map(|e| (e.sequence, e.outcome)).collect();
    assert_eq!(entries, [(3, Outcome::Received), (4, Outcome::Executed), (5, Outcome::Received)]);
    assert!(journal.since(0, 10).iter().all(|entry| !entry.answered));
    assert_eq!(journal.since(4, 10).len(), 1);
    assert_eq!(journal.since(0, 2).len(), 2);
    journal.clear();
    assert_eq!(journal.open(entry("f")), 6);
}

#[test]
fn external_ids_and_long_values_are_not_recorded() {
    let long = "x".repeat(MAX_PARAMETER + 1);
    let params = json!({ "ExternalId": "secret", "RoleArn": "r", "Policy": long, "logEvents": [1, 2] });
    let entries = truncate(params.as_object().unwrap());
    let expected = json!({ "RoleArn": "r", "Policy": "… 4097 bytes", "logEvents": "… 2 events" });
    assert_eq!(Value::from(entries), expected);
}
