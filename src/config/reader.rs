//! Reads documents and gathers faults. Everything under `config` tells what it finds to one
//! [`Reader`], which alone knows files, lines and variables by name.

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

/// The documents read so far, and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Reader {
    documents: RefCell<Vec<Document>>,
    variables: RefCell<Vec<String>>,
    diagnostics: RefCell<Vec<(Source, String)>>,
    whole: RefCell<Vec<Diagnostic>>,
    warnings: RefCell<Vec<(Source, String)>>,
    /// Files that settings were read from besides the documents: secrets, certificates.
    others: RefCell<Vec<PathBuf>>,
    /// Every key that was asked for.
    #[cfg(test)]
    pub(super) requested_keys: RefCell<std::collections::BTreeSet<String>>,
}

#[derive(Debug)]
struct Document {
    path: PathBuf,
    text: Rc<String>,
}

/// How much of a file is read at once: as with its parts, a call is not to wait for all of a long one.
const READ_CHUNK: usize = 64 * 1024;

/// A file's text, read bit by bit.
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
    /// Reads a TOML file. Tells every fault of its syntax, and answers nothing then.
    pub(super) fn document(&self, path: &Path) -> Option<(Source, Table)> {
        let (document, text) = self.text(path)?;
        self.parsed(document, &text, 0..text.len())
    }

    /// Reads a TOML file of tenants, and hands it on in parts of some tenants: the whole of a large one
    /// would take many times its length while it is read. Faults of syntax are told, and their part is
    /// left out.
    ///
    /// Gives way after each part: some kernels let a thread that only computes go on until their next tick,
    /// milliseconds after a call has come for a thread of this core that serves.
    pub(super) fn parts(&self, path: &Path, mut each: impl FnMut(Source, &Table)) {
        let Some((document, text)) = self.text(path) else { return };
        for part in split_document::chunk_ranges(&text) {
            if let Some((at, table)) = self.parsed(document, &text, part) {
                each(at, &table);
            }
            thread::yield_now();
        }
    }

    fn text(&self, path: &Path) -> Option<(usize, Rc<String>)> {
        let text = match read(path) {
            Ok(text) => Rc::new(text),
            Err(error) => {
                self.file_fault(path, format!("cannot be read: {}", toml_message(&error)));
                return None;
            }
        };
        let mut documents = self.documents.borrow_mut();
        documents.push(Document { path: path.to_owned(), text: Rc::clone(&text) });
        Some((documents.len() - 1, text))
    }

    fn parsed(&self, document: usize, text: &str, part: Range<usize>) -> Option<(Source, Table)> {
        let begin = part.start;
        let at = |offset| Source::File { document, offset: begin + offset };
        let (table, errors) = DeTable::parse_recoverable(text.get(part).unwrap_or_default());
        for error in &errors {
            // The message names what was expected and never what stood there.
            let offset = error.span().map_or(0, |span| span.start);
            self.diagnostic(
                at(offset),
                format!("is not TOML: {}", error.message().trim_end().replace('\n', ", ")),
            );
        }
        let table = errors.is_empty().then(|| tree::from_toml(table.into_inner(), at));
        Some((at(0), table?))
    }

    /// Remembers a variable's name.
    pub(super) fn variable(&self, name: &str) -> Source {
        let mut variables = self.variables.borrow_mut();
        variables.push(name.to_owned());
        Source::Variable(variables.len() - 1)
    }

    /// Remembers a fault.
    pub(super) fn diagnostic(&self, at: Source, message: impl Into<String>) {
        self.diagnostics.borrow_mut().push((at, message.into()));
    }

    /// Remembers a fault of a file as a whole.
    pub(super) fn file_fault(&self, path: &Path, message: String) {
        self.whole.borrow_mut().push(Diagnostic { location: SourceLocation::File(path.to_owned()), message });
    }

    /// Remembers a fault in a file that is no document of its own.
    pub(super) fn line_fault(&self, file: PathBuf, line: usize, column: usize, message: String) {
        self.whole
            .borrow_mut()
            .push(Diagnostic { location: SourceLocation::Line { file, line, column }, message });
    }

    /// Remembers something that works and should not be left so.
    pub(super) fn warn(&self, at: Source, message: impl Into<String>) {
        self.warnings.borrow_mut().push((at, message.into()));
    }

    /// Remembers a file that a setting was read from.
    pub(super) fn track_file(&self, path: PathBuf) {
        self.others.borrow_mut().push(path);
    }

    /// A path as it stands at `at`: relative ones begin where the document lies; those of variables
    /// where the first document lies.
    pub(super) fn resolve(&self, at: Source, path: &str) -> PathBuf {
        let document = match at {
            Source::File { document, .. } => document,
            Source::Variable(_) => 0,
        };
        let documents = self.documents.borrow();
        let folder = documents.get(document).and_then(|document| document.path.parent());
        folder.map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
    }

    /// Where that is, for people.
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

    /// Remembers that a key was asked for, with `[]` for each index.
    #[cfg(test)]
    pub(super) fn mark_known(&self, name: &str) {
        let parts = name.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
        self.requested_keys.borrow_mut().insert(parts.collect::<Vec<_>>().join("[]"));
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_text(&self) -> bool {
        self.diagnostics.borrow().is_empty() && self.whole.borrow().is_empty()
    }

    /// Every fault, in the order of files and lines.
    pub(super) fn diagnostics(&self) -> Vec<Diagnostic> {
        let mut all = self.sorted_faults(&self.diagnostics);
        all.extend(self.whole.borrow().clone());
        all
    }

    /// Every warning, in the same order.
    pub(super) fn warnings(&self) -> Vec<Diagnostic> {
        self.sorted_faults(&self.warnings)
    }

    /// Every file that was read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let documents = self.documents.borrow();
        documents.iter().map(|document| document.path.clone()).chain(self.others.borrow().clone()).collect()
    }

    fn sorted_faults(&self, gathered: &RefCell<Vec<(Source, String)>>) -> Vec<Diagnostic> {
        let mut gathered = gathered.borrow().clone();
        gathered.sort();
        gathered.dedup();
        let to_diagnostic = |(at, message)| Diagnostic { location: self.location(at), message };
        gathered.into_iter().map(to_diagnostic).collect()
    }
}

/// Why a file could not be read, without the number of the system's error.
pub(super) fn toml_message(error: &io::Error) -> String {
    let messages = [
        (io::ErrorKind::NotFound, "there is no such file or folder"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::IsADirectory, "it is a folder"),
        (io::ErrorKind::NotADirectory, "it is not a folder"),
        (io::ErrorKind::InvalidData, "it is not UTF-8 text"),
    ];
    let messages = messages.iter().find(|(kind, _)| *kind == error.kind());
    messages.map_or_else(|| error.to_string(), |(_, reason)| (*reason).to_owned())
}
