//! Reads documents and collects diagnostics. The other modules of `config` report to one [`Reader`], which
//! maps a [`Source`] to a file and line or to a variable.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, BufRead as _, BufReader},
    ops::Range,
    path::{Path, PathBuf},
    rc::Rc,
    thread,
};

use toml::de::DeTable;

use super::{
    diagnostic::{Diagnostic, SourceLocation},
    split_document,
    tree::{self, Source, Table},
};

/// The documents that were read, and their diagnostics.
#[derive(Debug, Default)]
pub(super) struct Reader {
    documents: RefCell<Vec<Document>>,
    variables: RefCell<Vec<String>>,
    diagnostics: RefCell<Vec<(Source, String)>>,
    /// Diagnostics of whole files, and of files that are not TOML documents.
    file_diagnostics: RefCell<Vec<Diagnostic>>,
    warnings: RefCell<Vec<(Source, String)>>,
    /// Files that settings came from other than documents: secrets, certificates, policies.
    others: RefCell<Vec<PathBuf>>,
    /// Every key that the code requested.
    #[cfg(test)]
    pub(super) requested_keys: RefCell<std::collections::BTreeSet<String>>,
}

#[derive(Debug)]
struct Document {
    path: PathBuf,
    text: Rc<String>,
}

/// How many bytes one read of a file takes. A call must not wait for all of a long file.
const READ_CHUNK: usize = 64 * 1024;

/// Reads a file in chunks.
fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut text = String::with_capacity(usize::try_from(length).unwrap_or_default());
    let mut lines = BufReader::with_capacity(READ_CHUNK, file);
    while lines.read_line(&mut text)? > 0 {}
    Ok(text)
}

// === impl Reader ===

impl Reader {
    /// Reads a TOML file. Reports every syntax error; returns `None` if there is one.
    pub(super) fn document(&self, path: &Path) -> Option<(Source, Table)> {
        let (document, text) = self.text(path)?;
        self.parse(document, &text, 0..text.len())
    }

    /// Reads a TOML file of tenants, and passes it to `each` in parts of a few tenants. Parsing a large file
    /// as a whole would take many times its length in memory. Reports syntax errors and skips their part.
    ///
    /// Yields after each part. Without that, some kernels let a computing thread continue until their next
    /// tick, while a thread on the same core waits milliseconds to serve a call.
    pub(super) fn for_each_part(&self, path: &Path, mut each: impl FnMut(Source, &Table)) {
        let Some((document, text)) = self.text(path) else { return };
        for part in split_document::chunk_ranges(&text) {
            if let Some((source, table)) = self.parse(document, &text, part) {
                each(source, &table);
            }
            thread::yield_now();
        }
    }

    fn text(&self, path: &Path) -> Option<(usize, Rc<String>)> {
        let text = match read(path) {
            Ok(text) => Rc::new(text),
            Err(error) => {
                self.report_file(path, format!("cannot be read: {}", io_message(&error)));
                return None;
            }
        };
        let mut documents = self.documents.borrow_mut();
        documents.push(Document { path: path.to_owned(), text: Rc::clone(&text) });
        Some((documents.len() - 1, text))
    }

    fn parse(&self, document: usize, text: &str, part: Range<usize>) -> Option<(Source, Table)> {
        let start = part.start;
        let at = |offset| Source::File { document, offset: start + offset };
        let (table, errors) = DeTable::parse_recoverable(text.get(part).unwrap_or_default());
        for error in &errors {
            // The message of the parser names what it expected, and never the text of the document.
            let offset = error.span().map_or(0, |span| span.start);
            self.report(
                at(offset),
                format!("is not TOML: {}", error.message().trim_end().replace('\n', ", ")),
            );
        }
        let table = errors.is_empty().then(|| tree::from_toml(table.into_inner(), at));
        Some((at(0), table?))
    }

    /// Registers a variable as a source.
    pub(super) fn variable(&self, name: &str) -> Source {
        let mut variables = self.variables.borrow_mut();
        variables.push(name.to_owned());
        Source::Variable(variables.len() - 1)
    }

    /// Reports a problem of a setting.
    pub(super) fn report(&self, at: Source, message: impl Into<String>) {
        self.diagnostics.borrow_mut().push((at, message.into()));
    }

    /// Reports a problem of a whole file.
    pub(super) fn report_file(&self, path: &Path, message: String) {
        self.file_diagnostics
            .borrow_mut()
            .push(Diagnostic { location: SourceLocation::File(path.to_owned()), message });
    }

    /// Reports a problem in a file that is not a TOML document.
    pub(super) fn report_line(&self, file: PathBuf, line: usize, column: usize, message: String) {
        self.file_diagnostics
            .borrow_mut()
            .push(Diagnostic { location: SourceLocation::Line { file, line, column }, message });
    }

    /// Reports a setting that is valid but unsafe or without effect.
    pub(super) fn warn(&self, at: Source, message: impl Into<String>) {
        self.warnings.borrow_mut().push((at, message.into()));
    }

    /// Registers a file that a setting came from.
    pub(super) fn track_file(&self, path: PathBuf) {
        self.others.borrow_mut().push(path);
    }

    /// Resolves a path from the setting at `at`: relative to the folder of its document, or of the first
    /// document if a variable sets it.
    pub(super) fn resolve(&self, at: Source, path: &str) -> PathBuf {
        let document = match at {
            Source::File { document, .. } => document,
            Source::Variable(_) => 0,
        };
        let documents = self.documents.borrow();
        let folder = documents.get(document).and_then(|document| document.path.parent());
        folder.map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
    }

    /// The file and position, or the variable, of a source.
    pub(super) fn location(&self, at: Source) -> SourceLocation {
        match at {
            Source::File { document, offset } => match self.documents.borrow().get(document) {
                Some(Document { path, text }) => {
                    let before = text.get(..offset).unwrap_or(text);
                    let line = before.matches('\n').count() + 1;
                    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                    SourceLocation::Line { file: path.clone(), line, column }
                }
                None => SourceLocation::File(PathBuf::new()),
            },
            Source::Variable(number) => {
                SourceLocation::Variable(self.variables.borrow().get(number).cloned().unwrap_or_default())
            }
        }
    }

    /// Records that the code requested a key, with `[]` for each index.
    #[cfg(test)]
    pub(super) fn record_requested_key(&self, name: &str) {
        let parts = name.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
        self.requested_keys.borrow_mut().insert(parts.collect::<Vec<_>>().join("[]"));
    }

    /// Whether there is no diagnostic so far.
    pub(super) fn is_clean(&self) -> bool {
        self.diagnostics.borrow().is_empty() && self.file_diagnostics.borrow().is_empty()
    }

    /// Every diagnostic, in the order of files and lines.
    pub(super) fn diagnostics(&self) -> Vec<Diagnostic> {
        let mut all = self.sorted(&self.diagnostics);
        all.extend(self.file_diagnostics.borrow().clone());
        all
    }

    /// Every warning, in the same order.
    pub(super) fn warnings(&self) -> Vec<Diagnostic> {
        self.sorted(&self.warnings)
    }

    /// Every file that was read, the documents first.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let documents = self.documents.borrow();
        documents.iter().map(|document| document.path.clone()).chain(self.others.borrow().clone()).collect()
    }

    fn sorted(&self, found: &RefCell<Vec<(Source, String)>>) -> Vec<Diagnostic> {
        let mut found = found.borrow().clone();
        found.sort();
        found.dedup();
        let to_diagnostic = |(at, message)| Diagnostic { location: self.location(at), message };
        found.into_iter().map(to_diagnostic).collect()
    }
}

/// Why a file could not be read, without the error number of the operating system.
pub(super) fn io_message(error: &io::Error) -> String {
    let messages = [
        (io::ErrorKind::NotFound, "there is no such file or folder"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::IsADirectory, "it is a folder"),
        (io::ErrorKind::NotADirectory, "it is not a folder"),
        (io::ErrorKind::InvalidData, "it is not UTF-8 text"),
    ];
    let message = messages.iter().find(|(kind, _)| *kind == error.kind());
    message.map_or_else(|| error.to_string(), |(_, reason)| (*reason).to_owned())
}
