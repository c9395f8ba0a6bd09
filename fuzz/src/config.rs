//! A configuration: it is valid, or every diagnostic names a line that exists.

use std::{fs, sync::OnceLock};

use logkey::config::{EmptyEnv, Settings, SourceLocation};
use tempfile::TempDir;

/// Returns whether the input was accepted.
pub fn run(data: &[u8]) -> bool {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    // A setting must not name a file that never ends.
    let contains = |part: &[u8]| data.windows(part.len()).any(|at| at == part);
    if [&b"/dev"[..], b"/proc", b"/sys", b"../", b"\\u"].into_iter().any(contains) {
        return false;
    }
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap());
    let path = folder.path().join(format!("{:?}.toml", std::thread::current().id()));
    fs::write(&path, data).unwrap();
    let Err(diagnostics) = Settings::load(&path, &EmptyEnv) else { return true };
    assert!(!diagnostics.is_empty());
    let lines = data.split(|byte| *byte == b'\n').count();
    for diagnostic in diagnostics {
        assert!(!diagnostic.message.is_empty());
        if let SourceLocation::Line { file, line, column } = diagnostic.location {
            assert!(file != path || (1..=lines).contains(&line), "line {line} of {lines}");
            assert!(column >= 1);
        }
    }
    false
}
