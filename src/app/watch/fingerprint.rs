//! Fingerprints of files and folders, to detect later whether they changed.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The fingerprints of some files at one time.
#[derive(Debug)]
pub struct Fingerprints {
    files: Vec<PathBuf>,
    fingerprints: Vec<Option<Fingerprint>>,
}

/// The device and inode, the length, and the time of the last write in nanoseconds. For a link they are those
/// of its target; for a folder they change with its entries.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint {
    inode: (u64, u64),
    length: u64,
    written: (i64, i64),
}

// === impl Fingerprints ===

impl Fingerprints {
    /// The current fingerprints of these files.
    #[must_use]
    pub fn of(files: Vec<PathBuf>) -> Self {
        let fingerprints = files.iter().map(|file| Fingerprint::of(file)).collect();
        Self { files, fingerprints }
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether any of the files changed since.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.files
            .iter()
            .zip(&self.fingerprints)
            .any(|(file, fingerprint)| Fingerprint::of(file) != *fingerprint)
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    /// `None` if the file does not exist.
    fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        let written = (metadata.mtime(), metadata.mtime_nsec());
        Some(Self { inode: (metadata.dev(), metadata.ino()), length: metadata.len(), written })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::symlink, time::SystemTime};

    use super::*;

    #[test]
    fn every_way_to_change_a_file_is_detected() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let changes: [(&str, &dyn Fn()); 6] = [
            ("written", &|| fs::write(path("file"), "more of it").unwrap()),
            ("replaced", &|| fs::rename(path("other"), path("file")).unwrap()),
            ("removed", &|| fs::remove_file(path("file")).unwrap()),
            ("created", &|| fs::write(path("missing"), "").unwrap()),
            ("link replaced", &|| fs::rename(path("link.new"), path("link")).unwrap()),
            ("entry added", &|| fs::write(path("folder/new"), "").unwrap()),
        ];
        for (how, change) in changes {
            drop(fs::remove_dir_all(path("folder")));
            for name in ["link", "link.new", "missing"] {
                drop(fs::remove_file(path(name)));
            }
            for name in ["file", "other", "third"] {
                fs::write(path(name), "same").unwrap();
            }
            symlink("file", path("link")).unwrap();
            symlink("third", path("link.new")).unwrap();
            fs::create_dir(path("folder")).unwrap();
            // Two writes within one tick of the file system's clock look the same, so make the first one old.
            File::open(path("folder")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
            let fingerprints = Fingerprints::of(["file", "missing", "link", "folder"].map(path).to_vec());
            assert!(!fingerprints.changed(), "{how}");
            change();
            assert!(fingerprints.changed(), "{how}");
        }
    }
}
