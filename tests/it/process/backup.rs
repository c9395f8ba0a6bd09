//! A clean stop, backups while the service runs, and what a service does without its signing key.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf};

use logkey::{
    ports::EventFilter,
    proto::{GetCallerRequest, tenant_service_client::TenantServiceClient},
    store,
};

use super::*;
use crate::{audit_commands_offline::grow, harness::Caller};

/// The names of the files in a folder that begin with `logkey.db`.
fn store_files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("logkey.db"));
    names.sort();
    names
}

/// Runs a command with these settings, and returns its exit code and output.
fn run(arguments: &[&str], config: &str) -> (Option<i32>, String) {
    let result = output(&[arguments, &["--config", config]].concat());
    (result.status.code(), text(&result.stdout) + &text(&result.stderr))
}

/// Settings of another service in a new folder, with the same issuer's keys.
fn other_settings(process: &Process) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let [grpc, admin] = free_addresses().unwrap();
    let config = settings_with(folder.path(), &process.issuer, grpc, admin);
    (folder, config)
}

/// Starts a service that must not start, and returns its output.
fn refused(config: &str) -> String {
    // Ends a service that starts in spite of that.
    let serve = ["60", env!("CARGO_BIN_EXE_logkey"), "serve", "--config", config];
    let result = Command::new("timeout").args(serve).stdin(Stdio::null()).output().unwrap();
    assert_eq!(result.status.code(), Some(1), "{}", text(&result.stderr));
    text(&result.stderr)
}

/// The newest checkpoint of a store, in a file.
async fn keep_checkpoint(folder: &Path) -> PathBuf {
    let open = store::open_reader(&store::Config::of_file(&folder.join("logkey.db"))).await.unwrap();
    let path = folder.join("kept-checkpoint");
    std::fs::write(&path, open.tree.checkpoint().await.unwrap().unwrap().note).unwrap();
    path
}

/// The first checkpoint of a store that covers more than so many events, in a file.
async fn checkpoint_after(folder: &Path, events: u64) -> PathBuf {
    let covers_more = async {
        loop {
            let path = keep_checkpoint(folder).await;
            let note = std::fs::read_to_string(&path).unwrap();
            if note.lines().nth(1).unwrap().parse::<u64>().unwrap() > events {
                return path;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), covers_more).await.unwrap()
}

#[tokio::test]
async fn a_clean_stop_leaves_one_file_that_verifies_alone() {
    let mut process = Process::serve().await;
    assert!(store_files(process.folder()).contains(&"logkey.db-wal".to_owned()));
    process.signal("-TERM");
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
    let folder = process.folder();
    assert_eq!(store_files(folder), ["logkey.db", "logkey.db.checkpoint-key.pem", "logkey.db.lock"]);
    let key = SigningKey::open(&checkpoint::default_key_path(&folder.join("logkey.db")), "logkey").unwrap();
    let alone = tempfile::tempdir().unwrap();
    let copy = alone.path().join("copy.db");
    std::fs::copy(folder.join("logkey.db"), &copy).unwrap();
    let store = format!("sqlite://{}", copy.display());
    let result = output(&["audit", "verify", "--store", &store, "--verifier", key.verifier()]);
    let output = text(&result.stdout) + &text(&result.stderr);
    assert!(output.starts_with("intact: 2 events; a signed checkpoint covers 2 of them"), "{output}");
}

#[tokio::test]
async fn a_service_creates_no_new_key_beside_a_signed_log() {
    let folder = tempfile::tempdir().unwrap();
    grow(folder.path(), 3).await;
    let key = checkpoint::default_key_path(&folder.path().join("logkey.db"));
    let elsewhere = folder.path().join("elsewhere.pem");
    std::fs::rename(&key, &elsewhere).unwrap();
    let [grpc, admin] = free_addresses().unwrap();
    let config = settings(folder.path(), grpc, admin);
    let output = refused(&config);
    for words in ["checkpoint-key.pem is missing", "restore the file from a backup"] {
        assert!(output.contains(words), "{words}: {output}");
    }
    assert!(!key.exists(), "no new key is created");
    // Another key does not sign this log either.
    SigningKey::open_or_create(&key, "logkey").unwrap();
    let output = refused(&config);
    assert!(output.contains("newest checkpoint cannot be trusted"), "{output}");
    std::fs::rename(&elsewhere, &key).unwrap();
    let (code, output) = run(&["audit", "verify"], &config);
    assert!(code == Some(0) && output.starts_with("intact: 3 events"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_service_is_restored_and_continues() {
    let limits = "limits = { per_second = 100000, burst = 100000 }\n";
    let tenant = SettingsText::default().tenant("payments", limits);
    // A line per call would fill the pipe that nobody reads meanwhile.
    let tenant = tenant.table("telemetry", "log_level = \"warn\"\n").to_string();
    let process = Process::serve_in(tempfile::tempdir().unwrap(), "", &tenant).await;
    let caller = Caller::new(process.channel(), &process.issuer.token("payments", "logkey:read"));
    let calls = tokio::spawn(async move {
        let mut client = TenantServiceClient::new(caller.channel());
        for call in 0_u64.. {
            if client.get_caller(caller.request(GetCallerRequest {})).await.is_err() {
                assert!(call > 20, "the service answers calls while it is backed up");
                break;
            }
        }
    });
    process.until_metric("logkey_requests_total{rpc=\"GetCaller\",code=\"OK\"} 2").await;
    let out = process.folder().join("backup");
    let backup = ["backup", "--out", out.to_str().unwrap()];
    let (code, output) = tokio::task::block_in_place(|| run(&backup, &process.config));
    assert!(code == Some(0) && output.contains("a signed checkpoint covers"), "{output}");
    let (code, output) = run(&backup, &process.config);
    assert!(code == Some(1) && output.contains("is not empty"), "{output}");
    for entry in std::fs::read_dir(&out).unwrap().map(Result::unwrap) {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
    let after = newest(&store::Config::of_file(&process.folder().join("logkey.db"))).await;
    let later = checkpoint_after(process.folder(), after).await;
    process.signal("-TERM");
    calls.await.unwrap();

    let (folder, config) = other_settings(&process);
    let (code, output) = run(&["restore", "--from", out.to_str().unwrap()], &config);
    assert!(code == Some(0) && output.contains("restored"), "{output}");
    let restored = store::Config::of_file(&folder.path().join("logkey.db"));
    let backed_up = newest(&restored).await;
    let (code, output) = run(&["audit", "verify"], &config);
    assert!(code == Some(0) && output.starts_with("intact: "), "{output}");
    let (code, output) =
        run(&["audit", "verify", "--checkpoint", out.join("checkpoint").to_str().unwrap()], &config);
    assert!(code == Some(0) && output.starts_with("intact: "), "{output}");
    let (code, output) = run(&["audit", "verify", "--checkpoint", later.to_str().unwrap()], &config);
    assert!(code == Some(1) && output.contains("the log was rolled back"), "{output}");

    assert_eq!(process.end().0, Some(0));
    let mut service = KillOnDrop(serving(Path::new(&config)).spawn().unwrap());
    for poll in 0.. {
        assert!(poll < MAX_POLLS, "the restored service starts");
        if newest(&restored).await > backed_up {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    send_signal(&service, "-TERM");
    assert_eq!(service.wait().unwrap().code(), Some(0));
    let (code, output) = run(&["audit", "verify"], &config);
    assert!(code == Some(0) && output.starts_with("intact: "), "{output}");
}

async fn newest(store: &store::Config) -> u64 {
    let open = store::open_reader(store).await.unwrap();
    let events = open.log.list(&EventFilter::default(), None, 1).await.unwrap();
    events.first().map_or(0, |event| event.seq)
}

#[tokio::test]
async fn a_restore_refuses_what_does_not_fit_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    grow(folder.path(), 3).await;
    let [grpc, admin] = free_addresses().unwrap();
    let config = settings(folder.path(), grpc, admin);
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (whole, keyless) = (at("whole"), at("keyless"));
    for (arguments, words) in [
        (&["backup", "--out", &whole][..], "3 events written to"),
        (&["backup", "--out", &keyless, "--without-key"], "the signing key is not included"),
    ] {
        let (code, output) = run(arguments, &config);
        assert!(code == Some(0) && output.contains(words), "{output}");
    }
    let restore = |from: &str, config: &str, code: i32, words: &str| {
        let (found, output) = run(&["restore", "--from", from], config);
        assert!(found == Some(code) && output.contains(words), "{from}: {output}");
    };
    restore(&whole, &config, 1, "logkey.db exists, and a restore never overwrites it");

    let target = tempfile::tempdir().unwrap();
    let other = settings(target.path(), grpc, admin);
    restore(&keyless, &other, 1, "put the signing key there first");
    restore(&at("nowhere"), &other, 1, "manifest.json cannot be read");
    let key = checkpoint::default_key_path(&target.path().join("logkey.db"));
    SigningKey::open_or_create(&key, "logkey").unwrap();
    restore(&keyless, &other, 1, "did not sign the checkpoint of the backup");
    restore(&whole, &other, 1, "checkpoint-key.pem exists, and a restore never overwrites it");
    std::fs::remove_file(&key).unwrap();
    let origin = std::fs::read_to_string(&other).unwrap() + "[audit]\ncheckpoint_origin = \"other\"\n";
    let other_origin = format!("{other}.origin");
    std::fs::write(&other_origin, origin).unwrap();
    restore(&whole, &other_origin, 1, "the backup is of the log \"logkey\"");
    let missing_key = format!("{other}.key");
    let with_key = std::fs::read_to_string(&other).unwrap() + "[audit]\ncheckpoint_key_file = \"none.pem\"\n";
    std::fs::write(&missing_key, with_key).unwrap();
    restore(&whole, &missing_key, 2, "whole/checkpoint-key.pem to audit.checkpoint_key_file first");

    // One byte of a file, then its length, then the manifest.
    let database = format!("{whole}/logkey.db");
    let intact = std::fs::read(&database).unwrap();
    let mut changed = intact.clone();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&database, &changed).unwrap();
    restore(&whole, &other, 1, "has another SHA-256 than the manifest says");
    std::fs::write(&database, &intact[1..]).unwrap();
    restore(&whole, &other, 1, "has another size than the manifest says");
    std::fs::write(&database, &intact).unwrap();
    let manifest = std::fs::read_to_string(format!("{whole}/manifest.json")).unwrap();
    let outside = manifest.replace("checkpoint-key.pem", "../../elsewhere.pem");
    std::fs::write(format!("{whole}/manifest.json"), outside).unwrap();
    restore(&whole, &other, 1, "names a file that a backup does not have");
    std::fs::write(format!("{whole}/manifest.json"), manifest).unwrap();
    assert!(!target.path().join("logkey.db").exists() && !key.exists(), "nothing was restored");

    // An interrupted restore left the key; the next one completes it.
    std::fs::copy(format!("{whole}/checkpoint-key.pem"), &key).unwrap();
    restore(&whole, &other, 0, "3 events of ");
    let (code, output) = run(&["audit", "verify"], &other);
    assert!(code == Some(0) && output.starts_with("intact: 3 events"), "{output}");
}
