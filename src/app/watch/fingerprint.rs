//! Fingerprints of files and folders, to detect later whether they changed.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256};

/// The extensions of files that may contain settings.
const SETTINGS_EXTENSIONS: [&str; 2] = ["toml", "cedar"];

/// The fingerprints of some files at one time.
#[derive(Clone, Debug)]
pub struct Fingerprints {
    files: Vec<PathBuf>,
    /// The fingerprint of each file; `None` if it does not exist.
    states: Vec<Option<Fingerprint>>,
    /// The hash of all contents, once it was computed.
    content: Option<Box<[u8]>>,
}

/// The device and inode, the length, and the times of the last write and of the last change of the inode, in
/// nanoseconds. For a link they are those of its target. A folder has those of its entries too.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint {
    inode: (u64, u64),
    length: u64,
    written: (i64, i64),
    changed: (i64, i64),
    entries: Vec<(PathBuf, Option<Fingerprint>)>,
}

// === impl Fingerprints ===

impl Fingerprints {
    /// The current fingerprints of these files.
    #[must_use]
    pub fn of(files: Vec<PathBuf>) -> Self {
        let states = files.iter().map(|file| Fingerprint::of(file)).collect();
        Self { files, states, content: None }
    }

    /// The fingerprints of these files: those that are known from before the files were read, and the current
    /// ones of the other files.
    #[must_use]
    pub fn with_files(self, files: Vec<PathBuf>) -> Self {
        let mut known: HashMap<PathBuf, Option<Fingerprint>> =
            self.files.into_iter().zip(self.states).collect();
        let of = |file: &PathBuf| known.remove(file).unwrap_or_else(|| Fingerprint::of(file));
        let states = files.iter().map(of).collect();
        Self { files, states, content: None }
    }

    /// Whether the contents differ from those at the first call, which only remembers them. It finds a change
    /// that leaves no trace in the metadata.
    #[must_use]
    pub fn content_changed(&mut self) -> bool {
        let mut hash = Context::new(&SHA256);
        self.files.iter().for_each(|file| hash_content(&mut hash, file));
        let content: Box<[u8]> = hash.finish().as_ref().into();
        self.content.replace(content.clone()).is_some_and(|before| before != content)
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether any of the files changed since.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.files.iter().zip(&self.states).any(|(file, fingerprint)| Fingerprint::of(file) != *fingerprint)
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    /// `None` if the file does not exist.
    fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        let entries = if metadata.is_dir() { entries(file) } else { Vec::new() };
        Some(Self {
            inode: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            entries: entries.into_iter().map(|entry| (entry.clone(), Self::of_file(&entry))).collect(),
        })
    }

    /// The same for an entry of a folder; folders in it hold no settings.
    fn of_file(file: &Path) -> Option<Self> {
        fs::metadata(file).ok().filter(fs::Metadata::is_file).and_then(|_| Self::of(file))
    }
}

/// The entries of a folder that may hold settings, by name.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<PathBuf> = paths.filter(|path| may_hold_settings(path)).collect();
    paths.sort_unstable();
    paths
}

/// Whether a file of this name may contain settings. The store is often in the same folder.
pub(super) fn may_hold_settings(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| SETTINGS_EXTENSIONS.contains(&extension))
}

fn hash_content(hash: &mut Context, file: &Path) {
    let is_folder = file.is_dir();
    let content = if is_folder { Vec::new() } else { fs::read(file).unwrap_or_default() };
    hash.update(file.as_os_str().as_encoded_bytes());
    hash.update(&u64::try_from(content.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(&content);
    if is_folder {
        entries(file).iter().filter(|entry| entry.is_file()).for_each(|entry| hash_content(hash, entry));
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
        let changes: [(&str, &dyn Fn()); 8] = [
            ("written", &|| fs::write(path("file"), "more of it").unwrap()),
            ("replaced", &|| fs::rename(path("other"), path("file")).unwrap()),
            ("removed", &|| fs::remove_file(path("file")).unwrap()),
            ("created", &|| fs::write(path("missing"), "").unwrap()),
            ("link replaced", &|| fs::rename(path("link.new"), path("link")).unwrap()),
            ("entry added", &|| fs::write(path("folder/new.toml"), "").unwrap()),
            ("entry written", &|| fs::write(path("folder/a.toml"), "more of it").unwrap()),
            ("folder replaced", &|| fs::rename(path("folder"), path("gone")).unwrap()),
        ];
        for (how, change) in changes {
            drop((fs::remove_dir_all(path("folder")), fs::remove_dir_all(path("gone"))));
            for name in ["link", "link.new", "missing"] {
                drop(fs::remove_file(path(name)));
            }
            for name in ["file", "other", "third"] {
                fs::write(path(name), "same").unwrap();
            }
            symlink("file", path("link")).unwrap();
            symlink("third", path("link.new")).unwrap();
            fs::create_dir(path("folder")).unwrap();
            fs::write(path("folder/a.toml"), "same").unwrap();
            // Two writes within one tick of the file system's clock look the same, so make the first one old.
            File::open(path("folder")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
            let fingerprints = Fingerprints::of(["file", "missing", "link", "folder"].map(path).to_vec());
            assert!(!fingerprints.changed(), "{how}");
            change();
            assert!(fingerprints.changed(), "{how}");
        }
    }

    #[test]
    fn a_content_that_changes_without_a_trace_is_detected() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "one").unwrap();
        fs::create_dir(path("folder")).unwrap();
        fs::write(path("folder/a.toml"), "one").unwrap();
        let mut fingerprints = Fingerprints::of(vec![path("file"), path("folder")]);
        assert!(!fingerprints.content_changed() && !fingerprints.content_changed());
        fs::write(path("file"), "two").unwrap();
        assert!(fingerprints.content_changed() && !fingerprints.content_changed());
        fs::write(path("folder/a.toml"), "two").unwrap();
        assert!(fingerprints.content_changed());
        fs::write(path("folder/events.db"), "not settings").unwrap();
        assert!(!fingerprints.content_changed());
    }

    #[test]
    fn fingerprints_from_before_a_read_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "one").unwrap();
        let before = Fingerprints::of(vec![path("file")]);
        fs::write(path("file"), "and more").unwrap();
        fs::write(path("new"), "").unwrap();
        assert!(before.clone().with_files(vec![path("file"), path("new")]).changed());
        assert!(!before.with_files(vec![path("new")]).changed());
    }
}
