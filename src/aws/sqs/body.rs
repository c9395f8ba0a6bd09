//! Reads members of a JSON object by their paths, with errors that name the path and never the value.

use serde_json::{Map, Value};

use crate::ports::group_events::UnreadableEvent;

/// The maximum size of a message, in bytes:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>.
const MAX_BODY: usize = 1 << 20;
/// The maximum length of a text of an event that is kept for people, in characters.
const MAX_TEXT: usize = 512;

/// A JSON object and the members below it.
pub(super) struct Body(Map<String, Value>);

// === impl Body ===

impl Body {
    /// Parses the body of a message, or the `Message` of an SNS notification.
    pub(super) fn parse(text: &str) -> Result<Self, UnreadableEvent> {
        if text.is_empty() || text.len() > MAX_BODY {
            return Err(UnreadableEvent::Size { bytes: text.len(), max: MAX_BODY });
        }
        let value = serde_json::from_str::<Value>(text);
        match value {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(other) => Err(UnreadableEvent::NotAnObject { problem: type_name(&other).into() }),
            Err(error) => Err(UnreadableEvent::NotAnObject { problem: error.to_string().into() }),
        }
    }

    /// The text at `path`, which must be present.
    pub(super) fn text(&self, path: &'static str) -> Result<&str, UnreadableEvent> {
        self.optional_text(path)?.ok_or(UnreadableEvent::Missing { member: path })
    }

    /// The text at `path`; `None` if the member or an object around it is absent or null.
    pub(super) fn optional_text(&self, path: &'static str) -> Result<Option<&str>, UnreadableEvent> {
        match self.find(path)? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(UnreadableEvent::Type { member: path, expected: "a string" })
            }
        }
    }

    /// The text at `path`, parsed.
    pub(super) fn parsed<T>(
        &self,
        path: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, UnreadableEvent> {
        parse(self.text(path)?)
            .map_err(|problem| UnreadableEvent::Value { member: path, problem: problem.into() })
    }

    /// The text at `path` for people: shortened, and without control characters. `None` if there is none.
    pub(super) fn note(&self, path: &'static str) -> Option<Box<str>> {
        self.optional_text(path).ok().flatten().filter(|text| !text.is_empty()).map(printable)
    }

    fn find(&self, path: &'static str) -> Result<Option<&Value>, UnreadableEvent> {
        let mut members = &self.0;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let value = members.get(name);
            if names.peek().is_none() {
                return Ok(value);
            }
            match value {
                None | Some(Value::Null) => return Ok(None),
                Some(Value::Object(inner)) => members = inner,
                Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                    return Err(UnreadableEvent::Type { member: path, expected: "inside of an object" });
                }
            }
        }
        Ok(None)
    }
}

/// Shortens a text and replaces its control characters, for logs and findings.
pub(super) fn printable(text: &str) -> Box<str> {
    let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().take(MAX_TEXT).map(clean).collect::<String>().into()
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "it is null",
        Value::Bool(_) => "it is a boolean",
        Value::Number(_) => "it is a number",
        Value::String(_) => "it is a string",
        Value::Array(_) => "it is an array",
        Value::Object(_) => "it is an object",
    }
}
