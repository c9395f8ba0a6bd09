//! The attacks on the audit log that once worked, step by step: with write access to the database, but without
//! the signing key.

use std::path::Path;

use logkey::audit::checkpoint::{self, SigningKey};
use tempfile::TempDir;

use crate::{
    audit_commands_offline::{audit, grow},
    audit_tampering::forger::{Database, ForeignKey, archive, root},
};

const ORIGIN: &str = "logkey";

fn verifier(folder: &Path) -> String {
    let key = checkpoint::default_key_path(&folder.join("logkey.db"));
    SigningKey::open(&key, ORIGIN).unwrap().verifier().to_owned()
}

async fn log(events: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path(), events).await;
    dir
}

/// Opens the log as a service does, without a service.
fn open_for_writing(folder: &Path) -> (Option<i32>, String) {
    let out = folder.join("archive").display().to_string();
    audit(folder, &["archive", "--older-than", "1d", "--out", &out])
}

/// Exports the log with the true key, and returns all verifier keys of the export.
fn exported_keys(folder: &Path) -> Vec<String> {
    let out = folder.join("export");
    drop(audit(folder, &["export", "--out", out.to_str().unwrap()]));
    let Ok(files) = std::fs::read_dir(&out) else { return Vec::new() };
    let files = files.map(|file| file.unwrap().path());
    let keys = files.filter(|path| path.extension().is_some_and(|extension| extension == "key"));
    keys.map(|path| std::fs::read_to_string(path).unwrap().trim().to_owned()).collect()
}

#[tokio::test]
async fn a_log_forged_without_the_signing_key_does_not_verify() {
    let dir = log(300).await;
    let own = verifier(dir.path());
    let attacker = ForeignKey::create(&dir.path().join("attacker.pem"), ORIGIN);
    let mut file = Database::open_as_text(dir.path()).await;
    // Some events are removed and altered, and the log says that the attacker's key signs it.
    let mut bodies = file.bodies().await;
    drop(bodies.drain(100..120));
    bodies[7] = bodies[7].replace("Informational", "Unimportant!!");
    bodies[200] = attacker.rotation(&own);
    file.run("DELETE FROM event; DELETE FROM batch; DELETE FROM batch_of_call").await;
    for (seq, body) in (1..).zip(&bodies) {
        file.insert_event(seq, body).await;
    }
    let root = file.rebuild_tiles(&bodies).await;
    file.run("UPDATE checkpoint SET handover = 1, size = 290").await;
    let size = bodies.len() as u64;
    file.store_note(i64::try_from(size).unwrap(), &attacker.sign(ORIGIN, size, root), false).await;
    // The last genuine checkpoint stays, as a handover of another size, so that it covers the rotation.
    file.close().await;
    let (code, output) = audit(dir.path(), &["verify", "--verifier", &own]);
    assert_eq!(code, Some(1), "{output}");
    assert!(!output.contains("intact"), "{output}");
    assert!(output.contains("the checkpoint that is stored for 290 events"), "{output}");
    assert_eq!(exported_keys(dir.path()).iter().filter(|key| **key == attacker.verifier).count(), 0);
}

#[tokio::test]
async fn an_inserted_row_makes_no_other_key_the_logs_own() {
    let dir = log(20).await;
    let (own, kept) = (verifier(dir.path()), dir.path().join("kept"));
    let out = dir.path().join("before");
    assert_eq!(audit(dir.path(), &["export", "--out", out.to_str().unwrap()]).0, Some(0));
    std::fs::copy(out.join("checkpoint"), &kept).unwrap();
    let attacker = ForeignKey::create(&dir.path().join("attacker.pem"), ORIGIN);
    let mut file = Database::open(dir.path()).await;
    file.insert_event(21, &attacker.rotation(&own)).await;
    file.close().await;
    // The service does not go on, so it signs nothing.
    let (code, output) = open_for_writing(dir.path());
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("event 21 of the audit log was not written by this log's service"), "{output}");
    for arguments in [&["verify"][..], &["verify", "--checkpoint", kept.to_str().unwrap()]] {
        let (code, output) = audit(dir.path(), arguments);
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("events 21 to 21 are not covered by a checkpoint"), "{output}");
    }
    assert!(!exported_keys(dir.path()).contains(&attacker.verifier));
    // Without the row, the log is whole again, and goes on.
    let mut file = Database::open(dir.path()).await;
    file.run("DELETE FROM event WHERE seq = 21").await;
    file.close().await;
    grow(dir.path(), 3).await;
    assert_eq!(audit(dir.path(), &["verify"]).0, Some(0));
}

#[tokio::test]
async fn an_inserted_archive_event_does_not_excuse_missing_events() {
    let dir = log(300).await;
    let mut file = Database::open_as_text(dir.path()).await;
    let bodies = file.bodies().await;
    let leaves: Vec<_> = bodies[..256].iter().map(|body| tlog_tiles::record_hash(body.as_bytes())).collect();
    let root = root(&leaves);
    file.insert_event(301, &archive(256, &root.to_string())).await;
    file.run("DELETE FROM event WHERE seq <= 256").await;
    file.close().await;
    let (code, output) = audit(dir.path(), &["verify"]);
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("events 1 to 256 were removed"), "{output}");
    assert!(output.contains("events 301 to 301 are not covered"), "{output}");
}

#[tokio::test]
async fn history_without_checkpoints_is_not_signed_at_the_next_start() {
    let dir = log(20).await;
    let mut file = Database::open_as_text(dir.path()).await;
    file.run(
        "DELETE FROM checkpoint; DELETE FROM tile; \
         UPDATE event SET body = replace(body, 'Informational', 'Unimportant!!') WHERE seq = 5",
    )
    .await;
    file.close().await;
    let (code, output) = open_for_writing(dir.path());
    assert_eq!(code, Some(1), "{output}");
    let (code, output) = audit(dir.path(), &["verify"]);
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("the log has no checkpoint"), "{output}");
}
