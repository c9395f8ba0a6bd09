//! What files and folders were like at one time, to see later whether they changed.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What files were like.
#[derive(Debug)]
pub struct Fingerprints {
    files: Vec<PathBuf>,
    marks: Vec<Option<Fingerprint>>,
}

/// What tells one state of a file from another: which one it is, how long, and when it was last written, in
/// nanoseconds. Of a link it is the file that it leads to, of a folder its names.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint {
    inode: (u64, u64),
    length: u64,
    written: (i64, i64),
}

// === impl Marks ===

impl Fingerprints {
    /// What these are like now.
    #[must_use]
    pub fn of(files: Vec<PathBuf>) -> Self {
        let marks = files.iter().map(|file| Fingerprint::of(file)).collect();
        Self { files, marks }
    }

    /// Which files they are.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether one of them is another now.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.files.iter().zip(&self.marks).any(|(file, mark)| Fingerprint::of(file) != *mark)
    }
}

// === impl Mark ===

impl Fingerprint {
    /// None where there is no such file.
    fn of(file: &Path) -> Option<Self> {
        let now = fs::metadata(file).ok()?;
        let written = (now.mtime(), now.mtime_nsec());
        Some(Self { inode: (now.dev(), now.ino()), length: now.len(), written })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::symlink, time::SystemTime};

    use super::*;

    #[test]
    fn whatever_may_have_changed_settings_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let changes: [(&str, &dyn Fn()); 6] = [
            ("written", &|| fs::write(path("file"), "more of it").unwrap()),
            ("replaced", &|| fs::rename(path("other"), path("file")).unwrap()),
            ("gone", &|| fs::remove_file(path("file")).unwrap()),
            ("come", &|| fs::write(path("missing"), "").unwrap()),
            ("turned", &|| fs::rename(path("link.new"), path("link")).unwrap()),
            ("added to", &|| fs::write(path("folder/new"), "").unwrap()),
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
            // Written long ago: two writes within one tick of the file system's clock look alike.
            File::open(path("folder")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
            let marks = Fingerprints::of(["file", "missing", "link", "folder"].map(path).to_vec());
            assert!(!marks.changed(), "{how}");
            change();
            assert!(marks.changed(), "{how}");
        }
    }
}
