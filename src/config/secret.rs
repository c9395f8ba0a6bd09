//! Secrets: written down, or better in a file of their own that a name with `_file` at its end leads
//! to, as Kubernetes and systemd mount them.

use std::{fs, path::Path};

use super::{
    reader::{self, Reader},
    section::Section,
    tree::{Node, Source, Value},
    value::ValueError,
};

// === impl Section ===

impl Section<'_> {
    /// A secret that stands at `key`, or in the file that `file_key` leads to; not both.
    pub(super) fn secret<T>(
        &self,
        key: &'static str,
        file_key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, ValueError>,
    ) -> Option<T> {
        let file = self.path(file_key);
        match (self.has(key), file) {
            (true, Some(_)) => {
                self.report(file_key, &format!("and {key} both stand here: keep one of them"));
                None
            }
            (_, None) => self.optional(key, parse),
            (false, Some(file)) => {
                let at = self.location_of(file_key);
                let text = match fs::read_to_string(&file) {
                    Ok(text) => text,
                    Err(error) => {
                        let reason = reader::toml_message(&error);
                        self.report(file_key, &format!("leads to {}: {reason}", file.display()));
                        return None;
                    }
                };
                warn_if_world_readable(&file, at, self.reader());
                let node = Node { name: at, origin: at, value: Value::Text(trim_newline(&text).to_owned()) };
                let wrong = |wrong| {
                    self.report(file_key, &format!("leads to {}, whose content {wrong}", file.display()));
                };
                let found = parse(&node).map_err(wrong).ok();
                self.reader().track_file(file);
                found
            }
        }
    }

    /// As [`Section::secret`]; the absence of both is a fault.
    pub(super) fn required_secret<T>(
        &self,
        key: &'static str,
        file_key: &'static str,
        example: &str,
        parse: impl FnOnce(&Node) -> Result<T, ValueError>,
    ) -> Option<T> {
        if !self.has(key) && !self.has(file_key) {
            self.missing(file_key, &format!("{example}, or give {key} itself"));
        }
        self.secret(key, file_key, parse)
    }

    /// A secret that stands in the file that `key` leads to.
    pub(super) fn secret_text(&self, key: &'static str) -> Option<String> {
        let file = self.secret_file(key)?;
        let text = self.content(key, &file)?;
        let text = trim_newline(&text);
        if text.is_empty() {
            self.report(key, &format!("leads to {}, which is empty", file.display()));
            return None;
        }
        Some(text.to_owned())
    }

    /// The certificates of authorities, in PEM, in the file that `key` leads to.
    pub(super) fn authorities(&self, key: &'static str) -> Option<Vec<u8>> {
        let file = self.readable_file(key)?;
        let text = self.content(key, &file)?;
        let blocks = pem::parse_many(&text).unwrap_or_default();
        if !blocks.iter().any(|block| block.tag() == "CERTIFICATE") {
            self.report(key, &format!("leads to {}, which holds no certificate in PEM", file.display()));
            return None;
        }
        Some(text.into_bytes())
    }

    fn content(&self, key: &'static str, file: &Path) -> Option<String> {
        let wrong = |error| {
            self.report(key, &format!("leads to {}: {}", file.display(), reader::toml_message(&error)));
        };
        fs::read_to_string(file).map_err(wrong).ok()
    }

    /// A file that holds a secret and is read by someone else: it must be there.
    pub(super) fn secret_file(&self, key: &'static str) -> Option<std::path::PathBuf> {
        let file = self.readable_file(key)?;
        warn_if_world_readable(&file, self.location_of(key), self.reader());
        Some(file)
    }

    /// A file that is read by someone else: it must be there.
    pub(super) fn readable_file(&self, key: &'static str) -> Option<std::path::PathBuf> {
        let file = self.path(key)?;
        if let Err(error) = fs::File::open(&file).and_then(|file| file.metadata()).and_then(|found| {
            if found.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
        }) {
            self.report(key, &format!("leads to {}: {}", file.display(), reader::toml_message(&error)));
            return None;
        }
        self.reader().track_file(file.clone());
        Some(file)
    }
}

/// Editors and `echo` end a file with a newline that belongs to nobody.
fn trim_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(unix)]
fn warn_if_world_readable(file: &Path, at: Source, reader: &Reader) {
    use std::os::unix::fs::PermissionsExt;

    /// The right of everyone to read.
    const OTHERS_MODE: u32 = 0o004;
    if fs::metadata(file).is_ok_and(|found| found.permissions().mode() & OTHERS_MODE != 0) {
        reader.warn(at, format!("{} holds a secret and everyone may read it: chmod 600 it", file.display()));
    }
}

#[cfg(not(unix))]
fn warn_if_open(_file: &Path, _at: Source, _reader: &Reader) {}
