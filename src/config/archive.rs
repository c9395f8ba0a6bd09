//! `audit.retention` and `audit.archive`: which events move out of the store, and where to.

use std::{path::PathBuf, str::FromStr, time::Duration};

use super::{section::Section, value};
use crate::aws::{InvalidS3Location, S3Location};

/// The minimum of `audit.retention`. A request id is kept as long, with the ids of its events.
const MIN_RETENTION: Duration = Duration::from_hours(24);
/// The maximum of `audit.retention`: a hundred years.
const MAX_RETENTION: Duration = Duration::from_hours(24 * 36_525);

/// Which events move out of the store, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// The minimum age of the events.
    pub retention: Option<Duration>,
    /// The archive.
    pub target: Option<ArchiveTarget>,
}

/// Where an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveTarget {
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    S3(S3Location),
}

// === impl ArchiveTarget ===

impl FromStr for ArchiveTarget {
    type Err = InvalidS3Location;

    /// The URL of a bucket, or else a folder.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("s3:") { text.parse().map(Self::S3) } else { Ok(Self::Folder(text.into())) }
    }
}

/// Reads the settings of the archive in `[audit]`.
pub(super) fn read(audit: &Section<'_>) -> ArchiveSettings {
    let retention = audit.optional("retention", value::duration_within(MIN_RETENTION, MAX_RETENTION));
    let target = match audit.optional("archive", value::parsed::<ArchiveTarget>) {
        // A path is relative to the folder of the file.
        Some(ArchiveTarget::Folder(_)) => audit.path("archive").map(ArchiveTarget::Folder),
        target => target,
    };
    if audit.has("retention") && !audit.has("archive") {
        audit.report(
            "retention",
            "has no effect without audit.archive: write archive = \"DIR\" or \"s3://BUCKET/PREFIX\"",
        );
    }
    ArchiveSettings { retention, target }
}
