//! Log lines as JSON: one object on each line, with the fields of the event and, as `span`, those of its span.
//!
//! The format of tracing-subscriber parses the fields of the span again for each line. Here they are kept in the
//! form in which the lines have them.

use std::fmt;

use serde::{Serialize, Serializer};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// The usual size of a line, in bytes.
const LINE_BYTES: usize = 640;

/// Formats an event as one line.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonLines;

/// Formats the fields of a span as members of an object, each with a comma after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonMembers;

/// Writes fields as members of an object, each with a comma after it.
struct MemberWriter<'t> {
    text: &'t mut Vec<u8>,
}

/// A value that is a string in the line.
struct AsText<'v>(&'v dyn fmt::Debug);

// === impl JsonLines ===

impl<S> FormatEvent<S, JsonMembers> for JsonLines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, JsonMembers>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let of_log_crate = event.normalized_metadata();
        let metadata = of_log_crate.as_ref().unwrap_or_else(|| event.metadata());
        let mut text = String::with_capacity(LINE_BYTES);
        text.push_str("{\"timestamp\":\"");
        SystemTime.format_time(&mut Writer::new(&mut text))?;
        text.push_str("\",\"level\":\"");
        text.push_str(metadata.level().as_str());
        text.push_str("\",");
        let mut line = text.into_bytes();
        let mut members = MemberWriter { text: &mut line };
        event.record(&mut members);
        let span = event.parent().and_then(|id| ctx.span(id)).or_else(|| ctx.lookup_current());
        members.last("target", metadata.target());
        if let Some(span) = span {
            line.extend_from_slice(b",\"span\":{");
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonMembers>>() {
                line.extend_from_slice(fields.as_bytes());
            }
            MemberWriter { text: &mut line }.last("name", span.name());
            line.push(b'}');
        }
        line.extend_from_slice(b"}\n");
        writer.write_str(str::from_utf8(&line).map_err(|_never| fmt::Error)?)
    }
}

// === impl JsonMembers ===

impl<'w> FormatFields<'w> for JsonMembers {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = Vec::new();
        fields.record(&mut MemberWriter { text: &mut text });
        writer.write_str(str::from_utf8(&text).map_err(|_never| fmt::Error)?)
    }
}

// === impl MemberWriter ===

impl MemberWriter<'_> {
    /// Adds a member and a comma. Omits a member whose value cannot be formatted.
    fn add(&mut self, name: &str, value: impl Serialize) {
        let start = self.text.len();
        if self.write(name, value).is_err() {
            self.text.truncate(start);
        } else {
            self.text.push(b',');
        }
    }

    /// Adds a member without a comma.
    fn last(&mut self, name: &str, value: &str) {
        // Text can always be formatted.
        let _written = self.write(name, value);
    }

    fn write(&mut self, name: &str, value: impl Serialize) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut *self.text, name)?;
        self.text.push(b':');
        serde_json::to_writer(&mut *self.text, &value)
    }
}

impl Visit for MemberWriter<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), AsText(value));
    }
}

impl Serialize for AsText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

#[cfg(test)]
mod tests;
