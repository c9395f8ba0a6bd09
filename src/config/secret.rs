//! Secrets: a value in the configuration, or better a separate file that a key ending in `_file` names, as
//! Kubernetes and systemd mount it. Also certificates and other files that a key names.

use std::{fs, path::Path};

use super::{
    reader::{self, Reader},
    section::Section,
    tree::{Node, Source, Value},
    value::ValueError,
};

// === impl Section ===

impl Section<'_> {
    /// Reads the secret from `key`, or from the file that `file_key` names. Both together are an error.
    pub(super) fn secret<T>(
        &self,
        key: &'static str,
        file_key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, ValueError>,
    ) -> Option<T> {
        let file = self.path(file_key);
        match (self.has(key), file) {
            (true, Some(_)) => {
                self.report(file_key, &format!("and {key} are both set: keep one of them"));
                None
            }
            (_, None) => self.optional(key, parse),
            (false, Some(file)) => {
                let at = self.location_of(file_key);
                let text = match fs::read_to_string(&file) {
                    Ok(text) => text,
                    Err(error) => {
                        let reason = reader::io_message(&error);
                        self.report(file_key, &format!("refers to {}: {reason}", file.display()));
                        return None;
                    }
                };
                warn_if_world_readable(&file, at, self.reader());
                let node = Node { name: at, origin: at, value: Value::Text(trim_newline(&text).to_owned()) };
                let report = |wrong| {
                    self.report(file_key, &format!("refers to {}, whose content {wrong}", file.display()));
                };
                let parsed = parse(&node).map_err(report).ok();
                self.reader().track_file(file);
                parsed
            }
        }
    }

    /// Like [`Section::secret`], but it reports an error if both keys are absent.
    pub(super) fn required_secret<T>(
        &self,
        key: &'static str,
        file_key: &'static str,
        example: &str,
        parse: impl FnOnce(&Node) -> Result<T, ValueError>,
    ) -> Option<T> {
        if !self.has(key) && !self.has(file_key) {
            self.missing(file_key, &format!("{example}, or set {key} itself"));
        }
        self.secret(key, file_key, parse)
    }

    /// Reads the secret in the file that `key` names.
    pub(super) fn secret_text(&self, key: &'static str) -> Option<String> {
        let file = self.secret_file(key)?;
        let text = self.content(key, &file)?;
        let text = trim_newline(&text);
        if text.is_empty() {
            self.report(key, &format!("refers to {}, which is empty", file.display()));
            return None;
        }
        Some(text.to_owned())
    }

    /// Reads the PEM certificates of authorities in the file that `key` names.
    pub(super) fn authorities(&self, key: &'static str) -> Option<Vec<u8>> {
        let file = self.readable_file(key)?;
        let text = self.content(key, &file)?;
        let blocks = pem::parse_many(&text).unwrap_or_default();
        if !blocks.iter().any(|block| block.tag() == "CERTIFICATE") {
            self.report(key, &format!("refers to {}, which contains no PEM certificate", file.display()));
            return None;
        }
        Some(text.into_bytes())
    }

    fn content(&self, key: &'static str, file: &Path) -> Option<String> {
        let report = |error| {
            self.report(key, &format!("refers to {}: {}", file.display(), reader::io_message(&error)));
        };
        fs::read_to_string(file).map_err(report).ok()
    }

    /// The path of a file with a secret, which another module reads. The file must exist.
    pub(super) fn secret_file(&self, key: &'static str) -> Option<std::path::PathBuf> {
        let file = self.readable_file(key)?;
        warn_if_world_readable(&file, self.location_of(key), self.reader());
        Some(file)
    }

    /// The path of a file that another module reads. The file must exist.
    pub(super) fn readable_file(&self, key: &'static str) -> Option<std::path::PathBuf> {
        let file = self.path(key)?;
        if let Err(error) = fs::File::open(&file).and_then(|file| file.metadata()).and_then(|found| {
            if found.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
        }) {
            self.report(key, &format!("refers to {}: {}", file.display(), reader::io_message(&error)));
            return None;
        }
        self.reader().track_file(file.clone());
        Some(file)
    }
}

/// Removes the newline that editors and `echo` add at the end of a file.
fn trim_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(unix)]
fn warn_if_world_readable(file: &Path, at: Source, reader: &Reader) {
    use std::os::unix::fs::PermissionsExt;

    /// The permission bit that lets everybody read.
    const OTHERS_READ: u32 = 0o004;
    if fs::metadata(file).is_ok_and(|found| found.permissions().mode() & OTHERS_READ != 0) {
        reader.warn(
            at,
            format!("{} contains a secret and everybody may read it: run chmod 600 on it", file.display()),
        );
    }
}

#[cfg(not(unix))]
fn warn_if_world_readable(_file: &Path, _at: Source, _reader: &Reader) {}
