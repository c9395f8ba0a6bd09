//! Others who write the database file: a second service under another name of the file, and a program that
//! inserts rows.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{Process, output, text};
use crate::{
    addresses::free_addresses,
    audit_tampering::forger::{Database, archive},
};

/// Settings of a second service that names the database file of the first one by this path.
fn second(first: &Process, database: &Path) -> PathBuf {
    let [grpc, admin] = free_addresses().unwrap();
    let settings = fs::read_to_string(&first.config).unwrap();
    let settings = settings
        .replace(&first.grpc.to_string(), &grpc.to_string())
        .replace(&first.admin.to_string(), &admin.to_string())
        .replace(&first.folder().join("logkey.db").display().to_string(), &database.display().to_string());
    let path = first.folder().join("second.toml");
    fs::write(&path, settings).unwrap();
    path
}

#[tokio::test]
async fn no_second_process_writes_one_file_under_any_of_its_names() {
    let first = Process::serve().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let database = first.folder().join("logkey.db");
    let linked_file = elsewhere.path().join("link.db");
    symlink(&database, &linked_file).unwrap();
    symlink(first.folder(), elsewhere.path().join("folder")).unwrap();
    let hard_link = first.folder().join("hard.db");
    fs::hard_link(&database, &hard_link).unwrap();
    // The other names have no file `.lock` yet, and the first one loses it.
    fs::remove_file(first.folder().join("logkey.db.lock")).unwrap();
    for name in [database, linked_file, elsewhere.path().join("folder/logkey.db"), hard_link] {
        let settings = second(&first, &name);
        let refused = output(&["serve", "--config", settings.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(1), "{}", name.display());
        let message = text(&refused.stderr);
        assert!(message.contains("in use by another process"), "{}: {message}", name.display());
    }
    // Readers go on.
    for command in ["verify", "list"] {
        let read = output(&["audit", command, "--config", &first.config]);
        assert_eq!(read.status.code(), Some(0), "{command}: {}", text(&read.stderr));
    }
    first.signal("-TERM");
    assert_eq!(first.end().0, Some(0));
}

#[tokio::test]
async fn a_running_service_reports_a_foreign_row_and_does_not_sign_it() {
    let process = Process::serve().await;
    process.until_metric("logkey_audit_foreign_events 0").await;
    let mut file = Database::open(process.folder()).await;
    let last = file.number("SELECT max(seq) FROM event").await;
    file.insert_event(last + 1, &archive(last.unsigned_abs(), "x")).await;
    process.until_metric("logkey_audit_foreign_events 1").await;
    assert_eq!(file.number("SELECT max(size) FROM checkpoint").await, last);
    let verified = output(&["audit", "verify", "--config", &process.config]);
    assert_eq!(verified.status.code(), Some(1));
    let found = format!("events {0} to {0} are not covered by a checkpoint", last + 1);
    assert!(text(&verified.stdout).contains(&found), "{}", text(&verified.stdout));
    // Without the row, the service goes on by itself.
    file.run(&format!("DELETE FROM event WHERE seq = {}", last + 1)).await;
    process.until_metric("logkey_audit_foreign_events 0").await;
    file.close().await;
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}
