//! `[policy]`: the operator's policies, in addition to the tenants' grants.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{reader, section::Section};
use crate::auth::CedarPolicy;

/// The operator's policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The folder of the policy files.
    pub dir: Option<PathBuf>,
    /// The path and text of each `*.cedar` file in the folder, in the order of the names.
    pub files: Vec<(String, String)>,
}

/// Reads `[policy]`, and validates every policy against the schema.
pub(super) fn read(section: &Section<'_>) -> Policy {
    let Some(dir) = section.path("dir") else { return Policy::default() };
    let mut files = Vec::new();
    match paths(&dir) {
        Ok(paths) => {
            for path in paths {
                match fs::read_to_string(&path) {
                    Ok(text) => files.push((path.display().to_string(), text)),
                    Err(error) => {
                        let reason = reader::io_message(&error);
                        section.reader().report_file(&path, format!("cannot be read: {reason}"));
                    }
                }
                section.reader().track_file(path);
            }
        }
        Err(error) => {
            section.report("dir", &format!("refers to {}: {}", dir.display(), reader::io_message(&error)));
        }
    }
    for diagnostic in CedarPolicy::check(&files) {
        let file = PathBuf::from(&*diagnostic.file);
        section.reader().report_line(file, diagnostic.line, diagnostic.column, diagnostic.message);
    }
    section.reader().track_file(dir.clone());
    Policy { dir: Some(dir), files }
}

fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    let is_policy = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "cedar");
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).filter(is_policy).collect();
    paths.sort_unstable();
    Ok(paths)
}
