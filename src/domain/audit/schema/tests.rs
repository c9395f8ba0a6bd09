use serde_json::Value;

use super::{pg_json_path, *};

/// A stored event with every field that SQL searches.
const EVENT: &str = r#"{"time":1700000000123,"status_id":2,"status_code":"KEY_DISABLED",
"metadata":{"uid":"id","tenant_uid":"tenant","correlation_uid":"call","event_code":"outcome"},
"actor":{"user":{"uid":"alice"}},"api":{"operation":"AssociateKmsKey"},"cloud":{"account":{"uid":"111122223333"}},
"resources":[{"uid":"arn","type":"AWS::Logs::LogGroup"}],
"unmapped":{"logkey":{"time_us":1700000000123456,"closes":"intent"}}}"#;

/// The value at a path such as `{a,b,0}`.
fn at(event: &Value, path: &str) -> Value {
    let steps = path.trim_matches(['{', '}']).replace(',', "/");
    event.pointer(&format!("/{steps}")).cloned().unwrap_or(Value::Null)
}

#[test]
fn sql_finds_the_fields_that_the_model_reads_and_writes() {
    let read = ApiActivity::parse(EVENT).unwrap();
    let written = serde_json::to_value(&read).unwrap();
    for (path, text) in [
        (pg_json_path!(subject), read.actor.user.as_ref().map(|user| user.uid.as_str())),
        (pg_json_path!(resource), read.resources.first().map(|resource| resource.uid.as_str())),
    ] {
        assert!(text.is_some(), "{path}");
        assert_eq!(at(&written, path).as_str(), text, "{path}");
    }
}

#[test]
fn reading_borrows_from_the_stored_text() {
    let read = ApiActivity::parse(EVENT).unwrap();
    assert!(matches!(read.metadata.uid, Text(Cow::Borrowed(_))));
    assert!(matches!(read.metadata.tenant_uid, Some(Text(Cow::Borrowed(_)))));
    assert!(matches!(read.unmapped.logkey.closes, Some(Text(Cow::Borrowed(_)))));
}
