//! `[policy]`: rules beside those made from the tenants' grants.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{reader, section::Section};
use crate::auth::CedarPolicy;

/// More rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The folder they come from.
    pub dir: Option<PathBuf>,
    /// Each `*.cedar` file of it, by its path and text, in the order of their names.
    pub files: Vec<(String, String)>,
}

/// Reads `[policy]`, and holds every rule against the schema.
pub(super) fn read(section: &Section<'_>) -> Policy {
    let Some(dir) = section.path("dir") else { return Policy::default() };
    let mut files = Vec::new();
    match paths(&dir) {
        Ok(paths) => {
            for path in paths {
                match fs::read_to_string(&path) {
                    Ok(text) => files.push((path.display().to_string(), text)),
                    Err(error) => {
                        let reason = reader::toml_message(&error);
                        section.reader().file_fault(&path, format!("cannot be read: {reason}"));
                    }
                }
                section.reader().track_file(path);
            }
        }
        Err(error) => {
            section.report("dir", &format!("leads to {}: {}", dir.display(), reader::toml_message(&error)));
        }
    }
    for diagnostic in CedarPolicy::check(&files) {
        let file = PathBuf::from(&*diagnostic.file);
        section.reader().line_fault(file, diagnostic.line, diagnostic.column, diagnostic.message);
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
