use serde_json::Value;

use super::{json_path as path, pg_json_path, *};

/// A stored event with every field that SQL searches.
const EVENT: &str = r#"{"time":1700000000123,"status_id":2,"status_code":"KEY_DISABLED",
"metadata":{"uid":"id","tenant_uid":"tenant","correlation_uid":"call","event_code":"outcome"},
"actor":{"user":{"uid":"alice"}},"api":{"operation":"AssociateKmsKey"},"cloud":{"account":{"uid":"111122223333"}},
"resources":[{"uid":"arn","type":"AWS::Logs::LogGroup"}],
"unmapped":{"logkey":{"time_us":1700000000123456,"closes":"intent"}}}"#;

/// The value at a path such as `$.a.b[0].c`.
fn at(event: &Value, path: &str) -> Value {
    let steps = path.strip_prefix('$').unwrap().replace('[', ".").replace(']', "").replace('.', "/");
    event.pointer(&steps).cloned().unwrap_or(Value::Null)
}

#[test]
fn sql_finds_the_fields_that_the_model_reads_and_writes() {
    let read = ApiActivity::parse(EVENT).unwrap();
    let written = serde_json::to_value(&read).unwrap();
    let closes = read.unmapped.logkey.closes.as_ref().map(Text::as_str);
    for (path, text) in [
        (path!(id), Some(read.metadata.uid.as_str())),
        (path!(tenant), read.metadata.tenant_uid.as_ref().map(Text::as_str)),
        (path!(correlation), Some(read.metadata.correlation_uid.as_str())),
        (path!(kind), Some(read.metadata.event_code.as_str())),
        (path!(operation), Some(read.api.operation.as_str())),
        (path!(subject), read.actor.user.as_ref().map(|user| user.uid.as_str())),
        (path!(resource), read.resources.first().map(|resource| resource.uid.as_str())),
        (path!(status_code), read.status_code.as_ref().map(Text::as_str)),
        (path!(closes), closes),
    ] {
        assert!(text.is_some(), "{path}");
        assert_eq!(at(&written, path).as_str(), text, "{path}");
    }
    assert_eq!(at(&written, path!(status_id)), read.status_id);
    assert_eq!(at(&written, path!(time)), read.time);
    assert_eq!(at(&written, path!(time_us)).as_i64(), read.unmapped.logkey.time_us);
}

#[test]
fn both_databases_search_the_same_fields() {
    let same = |path: &str| path.replace("$.", "{").replace(['.', '['], ",").replace(']', "") + "}";
    assert_eq!(same(path!(subject)), pg_json_path!(subject));
    assert_eq!(same(path!(resource)), pg_json_path!(resource));
}

#[test]
fn reading_borrows_from_the_stored_text() {
    let read = ApiActivity::parse(EVENT).unwrap();
    assert!(matches!(read.metadata.uid, Text(Cow::Borrowed(_))));
    assert!(matches!(read.metadata.tenant_uid, Some(Text(Cow::Borrowed(_)))));
    assert!(matches!(read.unmapped.logkey.closes, Some(Text(Cow::Borrowed(_)))));
}
