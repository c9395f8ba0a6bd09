//! A configuration: it can be used, or every fault names a place that it has.

use std::{fs, sync::OnceLock};

use logkey::config::{EmptyEnv, Settings, SourceLocation};
use tempfile::TempDir;

/// Whether the input was taken.
pub fn run(data: &[u8]) -> bool {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    // A setting that names a file must not lead to what never ends.
    let leads_out = |part: &[u8]| data.windows(part.len()).any(|at| at == part);
    if [&b"/dev"[..], b"/proc", b"/sys", b"../", b"\\u"].into_iter().any(leads_out) {
        return false;
    }
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap());
    let path = folder.path().join(format!("{:?}.toml", std::thread::current().id()));
    fs::write(&path, data).unwrap();
    let Err(faults) = Settings::load(&path, &EmptyEnv) else { return true };
    assert!(!faults.is_empty());
    let lines = data.split(|byte| *byte == b'\n').count();
    for fault in faults {
        assert!(!fault.message.is_empty());
        if let SourceLocation::Line { file, line, column } = fault.location {
            assert!(file != path || (1..=lines).contains(&line), "line {line} of {lines}");
            assert!(column >= 1);
        }
    }
    false
}
