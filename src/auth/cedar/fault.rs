//! A problem in a policy file, with its location.

use std::{error::Error, fmt};

use miette::Diagnostic;
use thiserror::Error as ThisError;

/// A problem in an operator's policy file.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[error("{file}:{line}:{column}: {message}")]
pub struct PolicyFault {
    /// The name of the file.
    pub file: Box<str>,
    /// The line; the first is 1.
    pub line: usize,
    /// The column in characters; the first is 1.
    pub column: usize,
    /// The problem on one line, with Cedar's advice if it has any.
    pub message: String,
}

// === impl PolicyFault ===

impl PolicyFault {
    /// Converts a diagnostic of Cedar for a file with this text.
    pub(super) fn of(file: &str, text: &str, diagnostic: &(impl Diagnostic + ?Sized)) -> Self {
        let offset =
            diagnostic.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset());
        let message = FaultMessage(diagnostic).to_string();
        Self::at(file, text, offset, message)
    }

    /// A problem at this byte offset of the file.
    pub(super) fn at(file: &str, text: &str, offset: usize, message: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { file: file.into(), line, column, message }
    }
}

/// Formats a diagnostic on one line, with its causes, its label and its advice.
struct FaultMessage<'d, D: ?Sized>(&'d D);

impl<D: Diagnostic + ?Sized> fmt::Display for FaultMessage<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let diagnostic = self.0;
        write!(f, "{diagnostic}")?;
        let mut message = diagnostic.to_string();
        let mut cause: Option<&dyn Error> = diagnostic.source();
        while let Some(reason) = cause {
            let reason_text = reason.to_string();
            if !message.contains(&reason_text) {
                write!(f, ": {reason_text}")?;
                message.push_str(&reason_text);
            }
            cause = reason.source();
        }
        if let Some(label) = diagnostic.labels().and_then(|mut labels| labels.next())
            && let Some(label) = label.label()
        {
            write!(f, " ({label})")?;
        }
        match diagnostic.help() {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}
