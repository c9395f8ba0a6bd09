//! One problem in the settings: the place, what is wrong, and what to write instead.

use std::{fmt, path::PathBuf};

/// One problem in the settings. It never contains the invalid value, which may be a secret. `Display` writes
/// the location, a colon and the message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The place of the setting.
    pub location: SourceLocation,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// The place of a setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceLocation {
    /// A position in a file.
    Line {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted in characters, from 1.
        column: usize,
    },
    /// A file as a whole.
    File(PathBuf),
    /// An environment variable, by its name.
    Variable(String),
}

// === impl Diagnostic ===

impl std::error::Error for Diagnostic {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.message)
    }
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Renders diagnostics for people, one on each line.
#[must_use]
pub fn join_diagnostics(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
