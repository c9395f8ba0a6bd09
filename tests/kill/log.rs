//! The audit log from an auditor's view: verified and exported with `logkey audit`, and parsed from the
//! exported files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{process::logkey, world::TestEnv};

/// The fields of an event that the join uses.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) operation: String,
    pub(crate) correlation: String,
    pub(crate) resource: Option<String>,
    pub(crate) key: Option<String>,
    /// In microseconds since 1970.
    pub(crate) time: i64,
    pub(crate) closes: Option<String>,
    /// `OK`, a reason, or the result of a reconciliation.
    pub(crate) outcome: Option<String>,
    pub(crate) aws_request_ids: Vec<String>,
    /// For a key rotation: the verifiers of the old and the new signing key.
    pub(crate) rotated: Option<(String, String)>,
}

/// Verifies the log, and its consistency with each of the earlier checkpoints. Returns the output of a
/// failure.
pub(crate) fn verify(env: &TestEnv, checkpoints: &[String]) -> Result<(), String> {
    let (archive, path) = (archive_arguments(env), env.path("checkpoint"));
    let path = path.to_str().unwrap();
    let plain: Vec<&str> = ["verify"].into_iter().chain(archive.iter().map(String::as_str)).collect();
    let mut runs = vec![plain.clone()];
    if !checkpoints.is_empty() {
        runs = checkpoints.iter().map(|_| [&plain[..], &["--checkpoint", path]].concat()).collect();
    }
    for (number, arguments) in runs.iter().enumerate() {
        if let Some(note) = checkpoints.get(number) {
            std::fs::write(path, note).unwrap();
        }
        let (code, output) = audit(env, arguments);
        if code != Some(0) {
            return Err(format!("audit verify against checkpoint {number}: {output}"));
        }
    }
    Ok(())
}

/// Runs a subcommand of `audit`. Returns its exit code and its output.
pub(crate) fn audit(env: &TestEnv, arguments: &[&str]) -> (Option<i32>, String) {
    let config = env.config();
    let all = [&["audit"], arguments, &["--config", config.to_str().unwrap()]].concat();
    let output = logkey(&all).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The arguments that name the archive, if there is one.
fn archive_arguments(env: &TestEnv) -> Vec<String> {
    let folder = env.archive();
    let exists = folder.join("checkpoint").exists();
    let arguments = ["--archive".to_owned(), folder.to_str().unwrap().to_owned()];
    if exists { arguments.to_vec() } else { Vec::new() }
}

/// Exports the log and returns all its events in order.
pub(crate) fn export(env: &TestEnv) -> Vec<Event> {
    let out = env.path("export");
    drop(std::fs::remove_dir_all(&out));
    let archive = archive_arguments(env);
    let export = ["export", "--out", out.to_str().unwrap()];
    let arguments: Vec<&str> = export.into_iter().chain(archive.iter().map(String::as_str)).collect();
    let (code, output) = audit(env, &arguments);
    assert_eq!(code, Some(0), "{output}");
    let mut bundles = Vec::new();
    find(&out.join("tile/entries"), "", &mut bundles);
    bundles.sort();
    bundles
        .iter()
        .flat_map(|(_, file)| entries(&std::fs::read(file).unwrap()))
        .map(|event| parse(&event))
        .collect()
}

/// Finds every bundle under a folder, with its number: `x001/234`, or `x001/234.p/17` for a partial bundle.
fn find(folder: &Path, before: &str, found: &mut Vec<(u64, PathBuf)>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if let Some(partial) = name.strip_suffix(".p") {
            let number = format!("{before}{partial}").parse().unwrap();
            let only = std::fs::read_dir(entry.path()).unwrap().next().unwrap().unwrap();
            found.push((number, only.path()));
        } else if let Some(part) = name.strip_prefix('x') {
            find(&entry.path(), &format!("{before}{part}"), found);
        } else {
            found.push((format!("{before}{name}").parse().unwrap(), entry.path()));
        }
    }
}

/// Parses the entries of a bundle. Each one follows its length in two bytes.
fn entries(mut bundle: &[u8]) -> Vec<Value> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(u16::from_be_bytes(*length).into());
        entries.push(serde_json::from_slice(entry).unwrap());
        bundle = rest;
    }
    entries
}

fn parse(event: &Value) -> Event {
    let text = |path: &str| event.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let resources = event.pointer("/resources").and_then(Value::as_array).cloned().unwrap_or_default();
    let resource = resources.iter().find(|resource| resource["type"] != "AWS::KMS::Key");
    let ids = event.pointer("/unmapped/logkey/aws_request_ids").and_then(Value::as_array).cloned();
    let outcome = text("/unmapped/logkey/settled").or_else(|| text("/status_code"));
    let is_ok = event["status_id"] == 1;
    Event {
        id: text("/metadata/uid").unwrap(),
        kind: text("/metadata/event_code").unwrap(),
        operation: text("/api/operation").unwrap(),
        correlation: text("/metadata/correlation_uid").unwrap(),
        resource: resource.and_then(|resource| resource["uid"].as_str()).map(str::to_owned),
        key: text("/unmapped/logkey/resolved_key"),
        time: event.pointer("/unmapped/logkey/time_us").and_then(Value::as_i64).unwrap(),
        closes: text("/unmapped/logkey/closes"),
        outcome: outcome.or(is_ok.then(|| "OK".to_owned())),
        rotated: text("/unmapped/logkey/old_verifier").zip(text("/unmapped/logkey/new_verifier")),
        aws_request_ids: ids.iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect(),
    }
}
