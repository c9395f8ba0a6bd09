//! Checks of the source text: modules use only lower layers, and some decisions stay in one file.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The layers, from top to bottom. A module may use modules of lower layers and itself. `sandbox` is the crate
/// `aws-sandbox`.
const RANKS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["app"],
    &["config"],
    &["server"],
    &["service"],
    &["audit", "auth", "aws", "limit", "otlp", "sandbox", "store"],
    &["ports", "proto"],
    &["spans"],
    &["domain"],
];

#[test]
fn modules_use_only_lower_layers() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut upward = BTreeSet::new();
    for file in rust_files(&src) {
        let from = module(&src, &file);
        if from == "lib" || from == "testing" {
            continue;
        }
        for to in used(&fs::read_to_string(&file).unwrap()) {
            if to != from && to != "testing" && rank(&to) <= rank(&from) {
                upward.insert(format!("{from} -> {to} in {}", file.display()));
            }
        }
    }
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn the_domain_uses_no_framework() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rust_files(&src).into_iter().filter(|f| module(&src, f) == "domain") {
        let text = fs::read_to_string(&file).unwrap();
        for word in ["async fn", "tokio::", "tonic::", "aws_sdk", "aws_config", "sqlx::", "cedar_policy"] {
            assert!(!text.contains(word), "{} contains {word}", file.display());
        }
    }
}

#[test]
fn generated_messages_stay_at_the_edge() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rust_files(&src) {
        let exempt = ["server", "cli", "proto", "lib"].contains(&module(&src, &file).as_str());
        let text = fs::read_to_string(&file).unwrap();
        assert!(exempt || !used(&text).contains("proto"), "{}", file.display());
    }
}

#[test]
fn files_stay_small() {
    for file in every_source() {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(file.ends_with("tests.rs") || lines <= 400, "{} has {lines} lines", file.display());
    }
}

#[test]
fn only_one_folder_chooses_status_codes() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in every_source() {
        let exempt = file.starts_with(src.join("server/grpc/status")) || file.ends_with("tests.rs");
        // The client reads them, and grpc-edge names them in another protocol.
        let exempt = exempt
            || ["client", "grpc-edge"]
                .iter()
                .any(|crates| file.components().any(|part| part.as_os_str() == *crates));
        // HTTP status codes are allowed.
        let text = fs::read_to_string(&file).unwrap().replace("StatusCode::", "");
        for code_name in
            ["tonic::Code", "Code::Ok", "Code::Not", "Code::Un", "Code::Int", "Code::In", "Code::P"]
        {
            assert!(exempt || !text.contains(code_name), "{} contains {code_name}", file.display());
        }
    }
}

#[test]
fn only_the_policy_engine_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    // The last file only reads decisions, to print them.
    let allowed =
        ["auth/cedar/authorizer.rs", "domain/authorization.rs", "testing.rs", "cli/policy/call_args.rs"];
    for file in every_source() {
        let exempt = file.starts_with(src.join("testing")) || allowed.iter().any(|name| file.ends_with(name));
        let text = fs::read_to_string(&file).unwrap();
        assert!(exempt || !text.contains("Decision::Allow {"), "{}", file.display());
    }
}

/// The source files of every crate of the workspace.
fn every_source() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let members = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    members.chain([root.to_owned()]).flat_map(|member| rust_files(&member.join("src"))).collect()
}

fn rank(module: &str) -> usize {
    RANKS.iter().position(|row| row.contains(&module)).unwrap_or_else(|| panic!("no rank for {module}"))
}

/// The top-level module of a file.
fn module(src: &Path, file: &Path) -> String {
    let first = file.strip_prefix(src).unwrap().components().next().unwrap();
    Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The top-level modules after `crate::`, alone or in a group.
fn used(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    code.split("crate::").skip(1).flat_map(paths).map(first_word).collect()
}

/// `a::b` is one path; `{a::b, c::{d, e}}` is two.
fn paths(after: &str) -> Vec<&str> {
    let Some(group) = after.strip_prefix('{') else {
        return vec![after];
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|path| !path.trim().is_empty());
    found
}

fn first_word(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn the_import_parser_finds_single_and_grouped_paths() {
    let text = "use crate::a::B;\nuse crate::{c, d::{E, F},\n g::H};\n// use crate::not::me;";
    assert_eq!(used(text), ["a", "c", "d", "g"].map(String::from).into());
}

/// Tenants share the store. A use case that reads it outside a turn would let the callers of one tenant delay those
/// of another.
#[test]
fn reads_for_callers_take_turns() {
    let service = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/service");
    let mut outside = Vec::new();
    for folder in ["audit", "fleet/bulk", "fleet/coverage", "fleet/rules", "usage"] {
        for file in rust_files(&service.join(folder)).into_iter().filter(|file| !file.ends_with("tests.rs")) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                if line.contains("map_err(StorageError::RecordUnavailable)") {
                    outside.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
                }
            }
        }
    }
    // These wait for a task that has its own turns, and for the write of a buffer that all share.
    outside.retain(|line| !line.contains("let jobs = jobs.map_err") && !line.contains("flush_observations"));
    assert!(outside.is_empty(), "use Context::in_turn or in_long_turn:\n{}", outside.join("\n"));
}

pub(crate) fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}
