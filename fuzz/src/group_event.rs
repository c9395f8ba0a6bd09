//! A message of the event queue: it is a change of a valid resource, or gets a printable reason. The same event
//! inside an SNS notification says the same.

use logkey::aws::GroupEvent;
use serde_json::json;

/// Returns whether the input was accepted.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let event = GroupEvent::read(text);
    let is_notification = serde_json::from_str::<serde_json::Value>(text)
        .is_ok_and(|value| value.get("TopicArn").is_some_and(|topic| !topic.is_null()));
    if !is_notification && text.len() < 100_000 && !text.is_empty() {
        let wrapped = json!({ "Type": "Notification", "TopicArn": "arn:aws:sns:::t", "Message": text });
        assert_eq!(GroupEvent::read(&wrapped.to_string()), event);
    }
    match event {
        Ok(GroupEvent::Change(change)) => {
            let parsed = change.resource.to_string().parse();
            // AWS accepts `#` in names but not in identifiers.
            assert!(text.contains('#') || parsed == Ok(change.resource.arn()), "{parsed:?}");
            let actor = &change.actor;
            let notes = [&actor.identity_type, &actor.arn, &actor.principal_id, &actor.role_arn];
            let more = [&actor.source_identity, &actor.invoked_by, &actor.source];
            for note in notes.into_iter().chain(more).flatten().map(|note| &**note).chain([actor.name()]) {
                assert!(!note.chars().any(char::is_control) && note.chars().count() <= 512, "{note:?}");
            }
            assert!(change.event_id.bytes().all(|b| b.is_ascii_graphic()));
            true
        }
        Ok(GroupEvent::Irrelevant(reason)) => {
            assert!(!reason.to_string().chars().any(char::is_control));
            true
        }
        Err(reason) => {
            let reason = reason.to_string();
            assert!(!reason.chars().any(char::is_control) && reason.len() < 8_192, "{reason:?}");
            false
        }
    }
}
