//! What is wrong with a policy, and where.

use std::{error::Error, fmt};

use miette::Diagnostic;
use thiserror::Error as ThisError;

/// One thing that is wrong in an operator's policies.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[error("{file}:{line}:{column}: {message}")]
pub struct PolicyFault {
    /// The file's name.
    pub file: Box<str>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong, and what to write instead where that is known.
    pub message: String,
}

// === impl PolicyFault ===

impl PolicyFault {
    /// What Cedar says of a file with this text.
    pub(super) fn of(file: &str, text: &str, said: &(impl Diagnostic + ?Sized)) -> Self {
        let offset = said.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset());
        let message = Said(said).to_string();
        Self::at(file, text, offset, message)
    }

    /// Something at this byte of the file.
    pub(super) fn at(file: &str, text: &str, offset: usize, message: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { file: file.into(), line, column, message }
    }
}

/// A message in one line, with its causes, its label and its advice.
struct Said<'d, D: ?Sized>(&'d D);

impl<D: Diagnostic + ?Sized> fmt::Display for Said<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.0;
        write!(f, "{said}")?;
        let mut told = said.to_string();
        let mut cause: Option<&dyn Error> = said.source();
        while let Some(why) = cause {
            let why_text = why.to_string();
            if !told.contains(&why_text) {
                write!(f, ": {why_text}")?;
                told.push_str(&why_text);
            }
            cause = why.source();
        }
        if let Some(label) = said.labels().and_then(|mut labels| labels.next())
            && let Some(label) = label.label()
        {
            write!(f, " ({label})")?;
        }
        match said.help() {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}
