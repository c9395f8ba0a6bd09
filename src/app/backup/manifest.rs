//! The manifest of a backup: what it contains, and the hashes of its files.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{error::BackupError, files};

/// The file name of the manifest. It is written last, so a backup without it is incomplete.
pub(super) const MANIFEST: &str = "manifest.json";
/// The file name of the database.
pub(super) const DATABASE: &str = "logkey.db";
/// The file name of the signing key.
pub(super) const KEY: &str = "checkpoint-key.pem";
/// The file name of the newest checkpoint.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The version of the form.
const FORMAT: u32 = 1;

/// What a backup contains.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// The release that made the backup.
    pub release: String,
    /// When the backup was made, in RFC 3339 form.
    pub created: String,
    /// The name of the log in its checkpoints.
    pub origin: String,
    /// The position of the newest event.
    pub events: u64,
    /// How many events the newest checkpoint covers.
    pub signed: u64,
    files: Vec<Entry>,
}

/// A file of the backup.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    bytes: u64,
    sha256: String,
}

/// What the manifest says about the log.
pub(super) struct Contents {
    pub(super) created: String,
    pub(super) origin: String,
    pub(super) events: u64,
    pub(super) signed: u64,
}

// === impl Manifest ===

impl Manifest {
    /// Writes the manifest of the named files of a folder.
    pub(super) fn write(folder: &Path, contents: Contents, names: &[&str]) -> Result<Self, BackupError> {
        let Contents { created, origin, events, signed } = contents;
        let entry = |name: &&str| {
            let (bytes, sha256) = files::digest(&folder.join(name))?;
            Ok(Entry { name: (*name).to_owned(), bytes, sha256 })
        };
        let entries = names.iter().map(entry).collect::<Result<_, BackupError>>()?;
        let release = env!("CARGO_PKG_VERSION").to_owned();
        let manifest = Self { format: FORMAT, release, created, origin, events, signed, files: entries };
        let path = folder.join(MANIFEST);
        let json = serde_json::to_string_pretty(&manifest);
        let json = json.map_err(|error| malformed(&path, error.to_string()))?;
        files::write_new(&path, format!("{json}\n").as_bytes())?;
        files::sync_folder(&path)?;
        Ok(manifest)
    }

    /// Reads the manifest of a backup, and compares every file with it.
    pub(super) fn verify(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(MANIFEST);
        let json = fs::read(&path).map_err(|source| files::file(&path, source))?;
        let manifest: Self =
            serde_json::from_slice(&json).map_err(|error| malformed(&path, error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(malformed(&path, format!("its format is {}, expected {FORMAT}", manifest.format)));
        }
        for name in [DATABASE, CHECKPOINT] {
            if !manifest.has(name) {
                return Err(malformed(&path, format!("it does not name {name}")));
            }
        }
        for Entry { name, bytes, sha256 } in &manifest.files {
            if ![DATABASE, KEY, CHECKPOINT].contains(&name.as_str()) {
                return Err(malformed(&path, "it names a file that a backup does not have".to_owned()));
            }
            let file = folder.join(name);
            let (found_bytes, found_sha256) = files::digest(&file)?;
            let cause = if found_bytes != *bytes {
                "has another size than the manifest says"
            } else if found_sha256 != *sha256 {
                "has another SHA-256 than the manifest says"
            } else {
                continue;
            };
            return Err(BackupError::Damaged { path: file, cause });
        }
        Ok(manifest)
    }

    /// Whether the backup has this file.
    pub(super) fn has(&self, name: &str) -> bool {
        self.files.iter().any(|entry| entry.name == name)
    }

    /// Whether the backup contains the signing key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.has(KEY)
    }
}

fn malformed(path: &Path, cause: String) -> BackupError {
    BackupError::Manifest { path: path.to_owned(), cause }
}
