//! A store of the previous release, written by its binary: its key was rotated, its oldest events were moved to
//! an archive, and nothing of that has a proof.

use std::{path::Path, process::Command};

use tempfile::TempDir;

use crate::{
    audit_commands_offline::{audit, grow},
    audit_tampering::forger::Database,
};

/// The folder of a log in a `tar` archive: `logkey.db`, its key, the folder `archive`, the files `old.key` (the
/// verifier key before the rotation) and `kept` (a checkpoint by that key).
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/audit_upgrade/d553433.tar.gz");

fn previous_release() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar").args(["-xzf", FIXTURE, "-C"]).arg(dir.path()).status().unwrap();
    assert!(unpacked.success());
    dir
}

fn verify(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let archive = folder.join("archive").display().to_string();
    audit(folder, &[&["verify", "--archive", &archive], arguments].concat())
}

#[tokio::test]
async fn a_store_of_the_previous_release_upgrades_and_verifies() {
    let dir = previous_release();
    let (code, output) = verify(dir.path(), &[]);
    assert!(code == Some(2) && output.contains("written by an older release"), "{output}");
    grow(dir.path(), 3).await;
    let kept = dir.path().join("kept").display().to_string();
    for arguments in [&[][..], &["--checkpoint", &kept]] {
        let (code, output) = verify(dir.path(), arguments);
        assert_eq!(code, Some(0), "{output}");
        assert!(output.contains("intact: "), "{output}");
        for unproven in ["the key rotation in event 180 is", "the archive in event 599 is"] {
            assert!(output.contains(&format!("unproven: {unproven}")), "{output}");
        }
    }
    // The rotation has no proof, so the key before it does not lead to the current one.
    let old = dir.path().join("old.key").display().to_string();
    let (code, output) = verify(dir.path(), &["--verifier", &old]);
    assert!(code != Some(0) && !output.contains("intact"), "{output}");
    // Rotations from now on have proofs.
    let current = dir.path().join("current.key").display().to_string();
    let key = logkey::audit::checkpoint::default_key_path(&dir.path().join("logkey.db"));
    let key = logkey::audit::checkpoint::SigningKey::open(&key, "logkey").unwrap();
    std::fs::write(&current, key.verifier()).unwrap();
    for arguments in [&["rotate-key"][..], &["rotate-key", "--end"]] {
        assert_eq!(audit(dir.path(), arguments).0, Some(0));
    }
    grow(dir.path(), 3).await;
    for arguments in [&[][..], &["--verifier", &current]] {
        let (code, output) = verify(dir.path(), arguments);
        assert_eq!(code, Some(0), "{output}");
    }
}

#[tokio::test]
async fn events_that_the_previous_release_left_unsigned_are_still_signed() {
    let dir = previous_release();
    let mut file = Database::open(dir.path()).await;
    // The previous release ended before it signed its last event.
    file.run(
        "INSERT INTO event SELECT 724, body FROM event WHERE seq = 723; \
         INSERT INTO batch SELECT 724, 724, since, until, least, most FROM batch WHERE last = 723; \
         INSERT INTO batch_of_call SELECT correlation, 724 FROM batch_of_call JOIN batch USING (first) \
         WHERE last = 723; \
         INSERT INTO batch_of_tenant SELECT tenant, 724 FROM batch_of_tenant JOIN batch USING (first) \
         WHERE last = 723",
    )
    .await;
    file.close().await;
    grow(dir.path(), 3).await;
    let (code, output) = verify(dir.path(), &[]);
    assert_eq!(code, Some(0), "{output}");
    // Later events need the tag of a batch.
    let mut file = Database::open(dir.path()).await;
    let last = file.number("SELECT max(seq) FROM event").await;
    file.insert_event(last + 1, "{}").await;
    file.close().await;
    let archive = dir.path().join("archive").display().to_string();
    let (code, output) = audit(dir.path(), &["archive", "--older-than", "1d", "--out", &archive]);
    assert!(code == Some(1) && output.contains("was not written by this log's service"), "{output}");
}
