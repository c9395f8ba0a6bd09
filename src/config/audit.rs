//! `[audit]`: what is recorded besides changes, how checkpoints are signed, and where the log goes.

use std::{error::Error as _, path::PathBuf, time::Duration};

use super::{
    section::Section,
    sinks::{self, SinkSettings},
    tree::Node,
    value,
    value::ValueError,
};
use crate::{
    audit::{Config, checkpoint::SigningKey},
    service::StreamLimits,
};

/// Default of `audit.checkpoint_origin`.
const ORIGIN: &str = "logkey";
/// The least age of events that are moved out.
const DAY: Duration = Duration::from_hours(24);
/// The largest such age: a hundred years.
const MAX_WAIT: Duration = Duration::from_hours(24 * 36_525);

/// How the audit log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Of the journal.
    pub journal: Config,
    /// How many streams of events may be open.
    pub streams: StreamLimits,
    /// When and where events are moved out.
    pub archive: ArchiveSettings,
    /// The log's name in its checkpoints.
    pub checkpoint_origin: Box<str>,
    /// The Ed25519 key that signs checkpoints; none is one that is made beside the store.
    pub checkpoint_key_file: Option<PathBuf>,
    /// Where the log goes besides the store.
    pub sinks: Vec<SinkSettings>,
}

/// When and where events are moved out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// How old they have to be.
    pub after: Option<Duration>,
    /// Where to.
    pub dir: Option<PathBuf>,
}

/// Reads `[audit]`.
pub(super) fn read(section: &Section<'_>) -> Audit {
    let (default, streams) = (Config::default(), StreamLimits::default());
    let audit = Audit {
        journal: Config { reads: section.or_default("reads", default.reads, value::boolean), ..default },
        streams: StreamLimits {
            per_tenant: section.or_default("streams_per_tenant", streams.per_tenant, value::count),
            in_all: section.or_default("streams", streams.in_all, value::count),
        },
        archive: ArchiveSettings {
            after: section.optional("archive_after", value::duration_within(DAY, MAX_WAIT)),
            dir: section.path("archive_dir"),
        },
        checkpoint_origin: section.or_default("checkpoint_origin", ORIGIN.into(), origin),
        checkpoint_key_file: section.secret_file("checkpoint_key_file"),
        sinks: sinks::read(section),
    };
    if let Some(file) = &audit.checkpoint_key_file
        && let Err(error) = SigningKey::open(file, &audit.checkpoint_origin)
    {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        section.report("checkpoint_key_file", &format!("cannot be used: {error}{cause}"));
    }
    audit
}

/// A name that a signed note can carry (C2SP signed-note: no Unicode space and no plus).
fn origin(node: &Node) -> Result<Box<str>, ValueError> {
    let text = value::text(node)?;
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
        return Err("holds a space or a plus, which a checkpoint's name cannot: write for example \
                    \"logs.example.com/logkey\""
            .to_owned());
    }
    Ok(text.into())
}
