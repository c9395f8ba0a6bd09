//! Why a subcommand of `logkey audit` failed.

use std::{error::Error, io::Write as _};

/// Why a subcommand failed; `run` prints it.
#[derive(Debug)]
pub(super) enum Failure {
    /// The configuration is invalid: its diagnostics, one on each line.
    Settings(String),
    /// Any other error.
    Other(Box<dyn Error + Send + Sync>),
}

/// Prints a line to standard error, and ignores that the stream may be closed.
pub(super) fn print(line: &str) {
    drop(writeln!(anstream::stderr(), "{line}"));
}

// === impl Failure ===

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}
