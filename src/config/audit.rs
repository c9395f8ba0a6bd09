//! `[audit]`: what the service records besides changes, how it signs checkpoints, and the sinks of the log.

use std::path::PathBuf;

use super::{
    archive::{self, ArchiveSettings},
    section::Section,
    sinks::{self, SinkSettings},
    tree::Node,
    value,
    value::ValueError,
};
use crate::{
    audit::{Config, ReadRecording, checkpoint::SigningKey},
    domain::error_chain::error_chain,
    service::StreamLimits,
};

/// Default of `audit.checkpoint_origin`.
const ORIGIN: &str = "logkey";
/// The settings of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// What the journal records.
    pub journal: Config,
    /// How many `WatchAuditEvents` streams may be open.
    pub streams: StreamLimits,
    /// Which events move out of the store, and where to.
    pub archive: ArchiveSettings,
    /// The log's name in its checkpoints.
    pub checkpoint_origin: Box<str>,
    /// The Ed25519 key that signs checkpoints; with `None`, the service creates one next to the store file.
    pub checkpoint_key_file: Option<PathBuf>,
    /// Whether findings of coverage are recorded.
    pub findings: bool,
    /// The destinations that receive a copy of the log.
    pub sinks: Vec<SinkSettings>,
}

/// Reads `[audit]`.
pub(super) fn read(section: &Section<'_>) -> Audit {
    let (default, streams) = (Config::default(), StreamLimits::default());
    let audit = Audit {
        journal: Config { reads: section.or_default("reads", default.reads, reads), ..default },
        streams: StreamLimits {
            per_tenant: section.or_default("streams_per_tenant", streams.per_tenant, value::count),
            in_all: section.or_default("streams", streams.in_all, value::count),
        },
        archive: archive::read(section),
        checkpoint_origin: section.or_default("checkpoint_origin", ORIGIN.into(), origin),
        checkpoint_key_file: section.secret_file("checkpoint_key_file"),
        findings: section.or_default("findings", false, value::boolean),
        sinks: sinks::read(section),
    };
    if audit.archive.retention.is_none() {
        let remedy = "nothing moves old events out of the store: set retention and archive";
        match audit.journal.reads {
            ReadRecording::All => section.warn(
                "reads",
                &format!("records every read, and {remedy}, or write reads = \"sampled\" or reads = false"),
            ),
            ReadRecording::Sampled => {
                section.warn(
                    "reads",
                    &format!("records a part of the reads, and {remedy}, or write reads = false"),
                );
            }
            ReadRecording::None => {}
        }
    }
    if let Some(file) = &audit.checkpoint_key_file
        && let Err(error) = SigningKey::open(file, &audit.checkpoint_origin)
    {
        section.report("checkpoint_key_file", &format!("cannot be used: {}", error_chain(&error)));
    }
    audit
}

/// Parses which reads are recorded.
fn reads(node: &Node) -> Result<ReadRecording, ValueError> {
    if let Ok(word) = value::text(node)
        && word == "sampled"
    {
        return Ok(ReadRecording::Sampled);
    }
    match value::boolean(node) {
        Ok(true) => Ok(ReadRecording::All),
        Ok(false) => Ok(ReadRecording::None),
        Err(_other) => Err("is not one of true, false and \"sampled\": write one of them".to_owned()),
    }
}

/// Parses a name that is valid in a signed note: no Unicode space and no plus sign
/// (<https://c2sp.org/signed-note>).
fn origin(node: &Node) -> Result<Box<str>, ValueError> {
    let text = value::text(node)?;
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
        return Err("contains a space or a plus sign, which a checkpoint does not allow: write for example \
                    \"logs.example.com/logkey\""
            .to_owned());
    }
    Ok(text.into())
}
