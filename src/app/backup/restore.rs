//! Restores a backup to the places that the configuration names.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    error::BackupError,
    files,
    manifest::{CHECKPOINT, DATABASE, KEY, Manifest},
};
use crate::{
    audit::checkpoint::{self, SigningKey},
    store,
};

/// What SQLite writes beside a database.
const BESIDE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Where to restore to.
#[derive(Clone, Debug)]
pub struct RestoreTarget {
    /// The store.
    pub store: store::Config,
    /// The log's name in its checkpoints.
    pub origin: Box<str>,
    /// The key that signs checkpoints.
    pub key_file: PathBuf,
}

/// Verifies a backup and copies its files. It never overwrites a store or a key. After an interruption, the next
/// run completes it.
///
/// # Errors
///
/// [`BackupError`].
pub fn restore(folder: &Path, target: &RestoreTarget) -> Result<Manifest, BackupError> {
    let RestoreTarget { store, origin, key_file } = target;
    let database = store.file().ok_or(BackupError::Shared)?;
    let manifest = Manifest::verify(folder)?;
    if *manifest.origin != **origin {
        let (backup, configured) = (manifest.origin, origin.to_string());
        return Err(BackupError::Origin { backup, configured });
    }
    for suffix in BESIDE {
        let mut path = database.clone().into_os_string();
        path.push(suffix);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(BackupError::Exists(path.into()));
        }
    }
    let backed_up = folder.join(KEY);
    let copies_key = match (manifest.has_key(), key_file.exists()) {
        (true, true) if read(key_file)? == read(&backed_up)? => false,
        (true, true) => return Err(BackupError::Exists(key_file.clone())),
        (true, false) => true,
        (false, true) => false,
        (false, false) => return Err(BackupError::NoKey(key_file.clone())),
    };
    let key = if copies_key { &backed_up } else { key_file };
    let verifiers = SigningKey::open(key, origin).map_err(BackupError::KeyInPlace)?.verifiers();
    if manifest.signed > 0 {
        let note = read(&folder.join(CHECKPOINT))?;
        checkpoint::read(&note, origin, &verifiers)
            .map_err(|source| BackupError::OtherKey { path: key.clone(), source })?;
    }
    // The key first: a store with checkpoints must never be without it.
    if copies_key {
        files::copy_new(&backed_up, key_file)?;
    }
    files::copy_new(&folder.join(DATABASE), &database)?;
    Ok(manifest)
}

fn read(path: &Path) -> Result<Vec<u8>, BackupError> {
    fs::read(path).map_err(|source| files::file(path, source))
}
