//! Maintenance of a log that is kept for years: an interrupted command can run again, and an auditor with an
//! old key can still verify the log.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use logkey::{
    app::SystemClock,
    audit::{
        self, Journal, Sequencer,
        checkpoint::{self, SigningKey},
        verify::{self, TrustAnchor},
    },
    domain::audit::{AuditOperation, Event, JournalEntry},
    ports::{AuditLog as _, Clock as _, SignedCheckpoint, Tile, TreeStore, Unavailable},
    store,
};

use crate::{audit_tampering::forger::Database, process::logkey};

const ORIGIN: &str = "logkey";

/// Writes events and signs them, as a separate process would.
pub(crate) async fn grow(folder: &Path, count: usize) {
    let file = folder.join("logkey.db");
    let store = store::open(&store::Config { url: format!("sqlite://{}", file.display()) }).await.unwrap();
    let key = SigningKey::open_or_create(&checkpoint::default_key_path(&file), ORIGIN).unwrap();
    let checked = Sequencer::check(store.log, store.tree, Arc::new(SystemClock), key).await.unwrap();
    let journal =
        Journal::start(store.events, Arc::new(SystemClock), checked.tagger(), audit::Config::default());
    for _ in 0..count {
        journal
            .commit(JournalEntry::event_only(Event::for_service(AuditOperation::Start, SystemClock.now())))
            .await
            .unwrap();
    }
    journal.close().await;
    checked.start().await.unwrap().close().await;
}

pub(crate) fn audit(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let store = format!("sqlite://{}/logkey.db", folder.display());
    let done = logkey(&[&["audit"], arguments, &["--store", &store]].concat()).output().unwrap();
    (done.status.code(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
}

fn keys(folder: &Path) -> Vec<String> {
    SigningKey::open(&checkpoint::default_key_path(&folder.join("logkey.db")), ORIGIN).unwrap().verifiers()
}

/// The tree of a log whose key is rotated right after the first read of the checkpoints.
struct RotatingTree {
    tree: Arc<dyn TreeStore>,
    folder: PathBuf,
    looked: AtomicBool,
}

#[async_trait]
impl TreeStore for RotatingTree {
    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable> {
        self.tree.checkpoint().await
    }

    async fn checkpoints(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        let signed = self.tree.checkpoints().await;
        if !self.looked.swap(true, Ordering::SeqCst) {
            for arguments in [&["rotate-key"][..], &["rotate-key", "--end"]] {
                let (code, output) = audit(&self.folder, arguments);
                assert_eq!(code, Some(0), "{output}");
            }
            grow(&self.folder, 1).await;
        }
        signed
    }

    async fn tiles(&self, tile_ids: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable> {
        self.tree.tiles(tile_ids).await
    }

    async fn grow(&self, tiles: &[Tile], checkpoint: &SignedCheckpoint) -> Result<(), Unavailable> {
        self.tree.grow(tiles, checkpoint).await
    }
}

#[tokio::test]
async fn a_key_rotation_during_verification_is_not_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path(), 3).await;
    let trusted_keys = keys(dir.path());
    let url = format!("sqlite://{}/logkey.db", dir.path().display());
    let open = store::open_reader(&store::Config { url }).await.unwrap();
    let tree =
        RotatingTree { tree: open.tree, folder: dir.path().to_owned(), looked: AtomicBool::new(false) };
    let key_file = checkpoint::default_key_path(&dir.path().join("logkey.db"));
    let against = TrustAnchor {
        origin: ORIGIN,
        verifiers: &trusted_keys,
        kept_checkpoint: None,
        archive: None,
        key_file: Some(&key_file),
    };
    let report = verify::verify(&*open.log, &tree, &against, |_| {}).await.unwrap();
    assert_eq!((report.findings, report.signed), (Vec::new(), 3));
    assert_ne!(keys(dir.path()), trusted_keys);
}

#[tokio::test]
async fn an_interrupted_rotation_is_completed_without_a_second_new_key() {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path(), 3).await;
    // The rotation stopped after it wrote the key file and before it recorded the key in the log.
    SigningKey::rotate(&checkpoint::default_key_path(&dir.path().join("logkey.db")), ORIGIN).unwrap();
    let both = keys(dir.path());
    let (code, output) = audit(dir.path(), &["rotate-key"]);
    assert!(
        code == Some(0) && output.contains(&both[0]) && output.contains("the new key signs from now on"),
        "{output}"
    );
    assert_eq!(keys(dir.path()), both);
    for key in &both {
        let (code, output) = audit(dir.path(), &["verify", "--verifier", key]);
        assert!(code == Some(0) && output.contains("intact: 4 events"), "{output}");
    }
    // That rotation is complete: the next call would start another one.
    let (code, output) = audit(dir.path(), &["rotate-key"]);
    assert!(code == Some(1) && output.contains("still holds the previous key"), "{output}");
}

#[tokio::test]
async fn the_event_that_names_both_keys_may_be_in_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path(), 10).await;
    let kept_copy = dir.path().join("kept");
    let url = format!("sqlite://{}/logkey.db", dir.path().display());
    let note = store::open_reader(&store::Config { url }).await.unwrap().tree.checkpoint().await;
    std::fs::write(&kept_copy, note.unwrap().unwrap().note).unwrap();
    let old = keys(dir.path())[0].clone();
    for arguments in [&["rotate-key"][..], &["rotate-key", "--end"]] {
        assert_eq!(audit(dir.path(), arguments).0, Some(0));
    }
    grow(dir.path(), 300).await;
    let (archive, kept_copy) = (dir.path().join("archive"), kept_copy.to_str().unwrap());
    let archive = archive.to_str().unwrap();
    let (code, output) = audit(dir.path(), &["archive", "--older-than", "0s", "--out", archive]);
    assert!(code == Some(0) && output.starts_with("256 events moved out"), "{output}");
    for arguments in [
        &["verify", "--archive", archive, "--verifier", &old][..],
        &["verify", "--archive", archive, "--checkpoint", kept_copy],
        &["verify", "--archive", archive, "--checkpoint", kept_copy, "--verifier", &old],
    ] {
        let (code, output) = audit(dir.path(), arguments);
        assert!(code == Some(0) && output.contains("intact: 312 events"), "{arguments:?}: {output}");
    }
    let out = dir.path().join("out");
    let export = ["export", "--archive", archive, "--out", out.to_str().unwrap()];
    assert_eq!(audit(dir.path(), &export).0, Some(0));
    let id = old.split('+').nth(1).unwrap();
    assert_eq!(std::fs::read_to_string(out.join(format!("verifier-{id}.key"))).unwrap().trim(), old);
}

/// An interrupted rotation can leave a checkpoint that only the former key signed. When the event that names both keys
/// is in the archive, `verify` needs the archive to know that key.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_a_former_key_needs_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path(), 10).await;
    let url = format!("sqlite://{}/logkey.db", dir.path().display());
    let reader = store::open_reader(&store::Config { url }).await.unwrap();
    let former = reader.tree.checkpoint().await.unwrap().unwrap();
    drop(reader);
    for arguments in [&["rotate-key"][..], &["rotate-key", "--end"]] {
        assert_eq!(audit(dir.path(), arguments).0, Some(0));
    }
    grow(dir.path(), 300).await;
    let archive = dir.path().join("archive");
    let archive = archive.to_str().unwrap();
    assert_eq!(audit(dir.path(), &["archive", "--older-than", "0s", "--out", archive]).0, Some(0));
    let mut database = Database::open(dir.path()).await;
    database.store_note(10, &former.note, false).await;
    for (arguments, expected) in [(&["verify"][..], 2), (&["verify", "--archive", archive], 0)] {
        let (code, output) = audit(dir.path(), arguments);
        assert_eq!(code, Some(expected), "{arguments:?}: {output}");
    }

    let other = tempfile::tempdir().unwrap();
    grow(other.path(), 5).await;
    let url_of_other = format!("sqlite://{}/logkey.db", other.path().display());
    let foreign =
        store::open_reader(&store::Config { url: url_of_other }).await.unwrap().tree.checkpoint().await;
    let foreign = foreign.unwrap().unwrap().note;
    database.store_note(5, &foreign, false).await;
    let (code, output) = audit(dir.path(), &["verify", "--archive", archive]);
    assert!(code == Some(1) && output.contains("stored for 5 events"), "{output}");
    // Beyond the archived events, no archive can explain it.
    database.store_note(300, &foreign, false).await;
    let (code, output) = audit(dir.path(), &["verify"]);
    assert!(code == Some(1) && output.contains("stored for 300 events"), "{output}");
}
