//! The files of a backup: only their owner can read them, and they are on disk before the next step.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use aws_lc_rs::digest::{Context, SHA256};

use super::error::BackupError;

/// Only the owner may read the files: the log contains personal data, and the key must stay secret.
const MODE: u32 = 0o600;
/// The size of one read, in bytes.
const CHUNK: usize = 1 << 20;

/// Creates a file that must not exist.
pub(super) fn create_new(path: &Path) -> Result<File, BackupError> {
    OpenOptions::new().write(true).create_new(true).mode(MODE).open(path).map_err(|source| file(path, source))
}

/// Writes a file that must not exist.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let mut created = create_new(path)?;
    created.write_all(bytes).and_then(|()| created.sync_all()).map_err(|source| file(path, source))
}

/// Copies a file to a path that must not exist. Under that path the copy is complete or not there.
pub(super) fn copy_new(from: &Path, to: &Path) -> Result<(), BackupError> {
    let mut partial = to.to_owned().into_os_string();
    partial.push(".restoring");
    let partial = Path::new(&partial);
    match fs::remove_file(partial) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(file(partial, source)),
        Ok(()) | Err(_) => {}
    }
    let mut copy = create_new(partial)?;
    let mut original = File::open(from).map_err(|source| file(from, source))?;
    io::copy(&mut original, &mut copy).map_err(|source| file(partial, source))?;
    copy.sync_all().map_err(|source| file(partial, source))?;
    // Unlike a rename, a link never replaces a file.
    match fs::hard_link(partial, to) {
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
            return Err(BackupError::Exists(to.to_owned()));
        }
        linked => linked.map_err(|source| file(to, source))?,
    }
    fs::remove_file(partial).map_err(|source| file(partial, source))?;
    sync_folder(to)
}

/// Makes the entry of a file in its folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), BackupError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| file(folder, source))
}

/// The number of bytes of a file, and their SHA-256 in hexadecimal digits.
pub(super) fn digest(path: &Path) -> Result<(u64, String), BackupError> {
    let mut reader = File::open(path).map_err(|source| file(path, source))?;
    let (mut hashing, mut bytes, mut chunk) = (Context::new(&SHA256), 0, vec![0; CHUNK]);
    loop {
        let read = reader.read(&mut chunk).map_err(|source| file(path, source))?;
        let Some(part) = chunk.get(..read).filter(|part| !part.is_empty()) else { break };
        hashing.update(part);
        bytes += read as u64;
    }
    let mut hex = String::new();
    for byte in hashing.finish().as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok((bytes, hex))
}

pub(super) fn file(path: &Path, source: io::Error) -> BackupError {
    BackupError::File { path: path.to_owned(), source }
}
