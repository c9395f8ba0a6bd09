//! The log that is tampered with: a rotated key, an archive, and events that no checkpoint covers yet.

use std::{path::Path, sync::Arc};

use logkey::{
    app::SystemClock,
    audit::{
        self, Journal,
        archive::ArchiveReader,
        checkpoint::{self, SigningKey},
        verify::{TrustAnchor, verify},
    },
    domain::audit::{AuditOperation, Event, JournalEntry},
    ports::{AuditLog as _, Clock as _},
    store,
};
use tempfile::TempDir;

use crate::audit_commands_offline::{audit, grow};

pub(super) const ORIGIN: &str = "logkey";
/// The archived events.
pub(super) const ARCHIVED: u64 = 512;
/// The events that the newest checkpoint covers: those before the rotation, the rotation, those after it, the
/// archive, and those after that.
pub(super) const SIGNED: u64 = 280 + 1 + 300 + 1 + 20;
/// The events after the newest checkpoint, each in its own batch.
pub(super) const UNSIGNED: u64 = 6;

/// The log, which stays as it is.
pub(super) struct Base(TempDir);

/// A copy of it.
pub(super) struct Copy(pub(super) TempDir);

impl Base {
    pub(super) async fn create() -> Self {
        let dir = tempfile::tempdir().unwrap();
        grow(dir.path(), 280).await;
        let out = dir.path().join("archive");
        let archive = ["archive", "--older-than", "0s", "--out", out.to_str().unwrap()];
        for arguments in [&["rotate-key"][..], &["rotate-key", "--end"]] {
            assert_eq!(audit(dir.path(), arguments).0, Some(0));
        }
        grow(dir.path(), 300).await;
        let (code, output) = audit(dir.path(), &archive);
        assert_eq!((code, output.starts_with("512 events")), (Some(0), true), "{output}");
        grow(dir.path(), 20).await;
        append_unsigned(dir.path()).await;
        Self(dir)
    }

    pub(super) fn copy(&self) -> Copy {
        let to = tempfile::tempdir().unwrap();
        copy_folder(self.0.path(), to.path());
        Copy(to)
    }
}

impl Copy {
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn archive(&self) -> std::path::PathBuf {
        self.path().join("archive")
    }

    fn key_file(&self) -> std::path::PathBuf {
        checkpoint::default_key_path(&self.path().join("logkey.db"))
    }

    pub(super) fn key(&self) -> SigningKey {
        SigningKey::open(&self.key_file(), ORIGIN).unwrap()
    }

    /// What `verify` finds, and what it could not check, one text each.
    pub(super) async fn findings(&self) -> Vec<String> {
        let url = format!("sqlite://{}/logkey.db", self.path().display());
        let open = store::open_reader(&store::Config { url }).await.unwrap();
        let (verifiers, key_file) = (self.key().verifiers(), self.key_file());
        let archive = match ArchiveReader::in_folder(&self.archive()).await {
            Ok(archive) => archive,
            Err(error) => return vec![format!("the archive: {error}")],
        };
        if let Err(error) = archive.signed(ORIGIN, &verifiers) {
            return vec![format!("the archive: {error}")];
        }
        let against = TrustAnchor {
            origin: ORIGIN,
            verifiers: &verifiers,
            kept_checkpoint: None,
            archive: Some(&archive),
            key_file: Some(&key_file),
        };
        let report = match verify(&*open.log, &*open.tree, &against, |_| {}).await {
            Ok(report) => report,
            Err(error) => return vec![format!("the archive: {error}")],
        };
        let mut found: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        found.extend(report.unproven.iter().map(ToString::to_string));
        if report.moved_out.is_some_and(|moved_out| !moved_out.checked) {
            found.push("the archive: not all of its events can be read".to_owned());
        }
        found
    }
}

/// Appends events as a service does that ends before it signs them.
async fn append_unsigned(folder: &Path) {
    let file = folder.join("logkey.db");
    let key = SigningKey::open(&checkpoint::default_key_path(&file), ORIGIN).unwrap();
    let store = store::open(&store::Config { url: format!("sqlite://{}", file.display()) }).await.unwrap();
    let checked =
        logkey::audit::Sequencer::check(store.log, store.tree, Arc::new(SystemClock), key).await.unwrap();
    let config = audit::Config::default();
    let journal = Journal::start(store.events, Arc::new(SystemClock), checked.tagger(), config);
    for _ in 0..UNSIGNED {
        let event = Event::for_service(AuditOperation::Start, SystemClock.now());
        journal.commit(JournalEntry::event_only(event)).await.unwrap();
    }
    journal.close().await;
    // Its files are copied next.
    store.closing.close().await;
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
