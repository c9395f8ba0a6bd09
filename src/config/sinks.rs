//! `[[audit.sinks]]`: the destinations that receive a copy of the audit log.

use std::collections::HashMap;

use super::{
    diagnostic::SourceLocation,
    section::Section,
    tree::Node,
    value::{self, ValueError},
};
use crate::{audit::sinks::file, aws::StreamConfig, domain::aws::Partition};

/// Default of `audit.sinks[].max_bytes`.
const MAX_BYTES: u32 = 100 << 20;
/// Default of `audit.sinks[].keep`.
const DEFAULT_FILES: u32 = 10;
/// The maximum of `audit.sinks[].keep`: each rotation renames all of these files.
const MAX_FILES: u32 = 1000;
/// The minimum of `audit.sinks[].max_bytes`: a file must hold the longest event.
const MIN_BYTES: u32 = 64 << 10;
/// The longest name of a log stream (`logStreamName` in
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogStream.html>).
const MAX_STREAM_NAME: usize = 512;
/// Default of `audit.sinks[].log_stream`.
const DEFAULT_STREAM: &str = "logkey";

/// Keys that only some types of sink have.
const PER_KIND_KEYS: [&str; 9] = [
    "path",
    "max_bytes",
    "keep",
    "role_arn",
    "external_id",
    "external_id_file",
    "region",
    "log_group",
    "log_stream",
];

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// The name under which the store keeps the sink's position; with a new name it starts again.
    pub name: Box<str>,
    /// The destination.
    pub to: SinkTarget,
}

/// The destination of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkTarget {
    /// Standard output.
    Stdout,
    /// A file that is rotated by size.
    File(file::Config),
    /// A log stream of `CloudWatch` Logs.
    LogStream(Box<StreamConfig>),
}

#[derive(Clone, Copy)]
enum Kind {
    Stdout,
    File,
    LogStream,
}

/// Reads `[[audit.sinks]]`.
pub(super) fn read(audit: &Section<'_>) -> Vec<SinkSettings> {
    let mut names: HashMap<Box<str>, SourceLocation> = HashMap::new();
    let mut sinks = Vec::new();
    for section in audit.sections("sinks") {
        let Some(sink) = read_sink(&section) else { continue };
        let key = if section.has("name") { "name" } else { "type" };
        let here = section.reader().location(section.location_of(key));
        if let Some(first) = names.insert(sink.name.clone(), here) {
            section.report(
                key,
                &format!("gives it the same name as the sink at {first}: give each sink its own name"),
            );
            continue;
        }
        sinks.push(sink);
    }
    let to_stdout = sinks.iter().filter(|sink| sink.to == SinkTarget::Stdout).count();
    if to_stdout > 1 {
        audit.report("sinks", "contains more than one sink of type \"stdout\": keep one of them");
    }
    sinks
}

fn read_sink(section: &Section<'_>) -> Option<SinkSettings> {
    let words = [("stdout", Kind::Stdout), ("file", Kind::File), ("cloudwatch_logs", Kind::LogStream)];
    let kind = section.required("type", "\"file\"", value::one_of(&words));
    let chosen_name = section.optional("name", name);
    let Some(kind) = kind else {
        // Without a type the valid keys are not known: request all of them, so that none is reported.
        for key in PER_KIND_KEYS {
            section.has(key);
        }
        return None;
    };
    // Each type requests only its own keys, so the section reports the others.
    let (word, to) = match kind {
        Kind::Stdout => ("stdout", Some(SinkTarget::Stdout)),
        Kind::File => ("file", read_file(section)),
        Kind::LogStream => ("cloudwatch_logs", read_stream(section)),
    };
    if section.has("name") && chosen_name.is_none() {
        return None;
    }
    Some(SinkSettings { name: chosen_name.unwrap_or_else(|| word.into()), to: to? })
}

fn read_file(section: &Section<'_>) -> Option<SinkTarget> {
    let path = section.path("path");
    if !section.has("path") {
        section.missing("path", "\"/var/log/logkey/audit.jsonl\"");
    }
    let max_bytes = section.or_default("max_bytes", MAX_BYTES, bytes);
    let keep = section.or_default("keep", DEFAULT_FILES, file_count);
    Some(SinkTarget::File(file::Config { path: path?, max_bytes: max_bytes.into(), keep }))
}

fn read_stream(section: &Section<'_>) -> Option<SinkTarget> {
    let role = section.required("role_arn", "\"arn:aws:iam::111122223333:role/LogKeyAudit\"", value::parsed);
    let region = section.required("region", "\"eu-west-1\"", value::parsed);
    let log_group = section.required("log_group", "\"/logkey/audit\"", value::parsed);
    let log_stream = section.or_default("log_stream", DEFAULT_STREAM.into(), stream);
    let has_id = section.has("external_id") || section.has("external_id_file");
    let external_id = section.secret("external_id", "external_id_file", value::parsed);
    if has_id && external_id.is_none() {
        return None;
    }
    let config =
        StreamConfig { region: region?, role: role?, external_id, log_group: log_group?, log_stream };
    if Partition::of(&config.region) != config.role.partition() {
        section.report(
            "region",
            "is in a different AWS partition than role_arn: name a Region of the same partition",
        );
        return None;
    }
    Some(SinkTarget::LogStream(Box::new(config)))
}

fn name(node: &Node) -> Result<Box<str>, ValueError> {
    let text = value::text(node)?;
    let fits = text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if fits {
        Ok(text.into())
    } else {
        Err("is not a sink name: write at most 63 letters, digits, \"-\", \"_\" and \".\"".to_owned())
    }
}

fn stream(node: &Node) -> Result<Box<str>, ValueError> {
    let text = value::text(node)?;
    if text.len() <= MAX_STREAM_NAME && !text.contains([':', '*']) && !text.contains(char::is_control) {
        Ok(text.into())
    } else {
        Err("is not the name of a log stream: write at most 512 characters without \":\" or \"*\"".to_owned())
    }
}

fn bytes(node: &Node) -> Result<u32, ValueError> {
    let number = value::count(node)?.get();
    if number >= MIN_BYTES {
        Ok(number)
    } else {
        Err(format!("is less than {MIN_BYTES}: write a larger number"))
    }
}

fn file_count(node: &Node) -> Result<u32, ValueError> {
    let number = value::count(node)?.get();
    if number <= MAX_FILES {
        Ok(number)
    } else {
        Err(format!("is more than {MAX_FILES}: write a smaller number"))
    }
}
