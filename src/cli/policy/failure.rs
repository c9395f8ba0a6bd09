//! Why a subcommand of `logkey policy` failed.

use std::io;

/// Why a subcommand failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The configuration or the arguments are invalid: one problem on each line.
    Invalid(String),
    /// The output could not be written.
    Output(io::Error),
}

/// Joins diagnostics, one on each line.
pub(super) fn lines<F: ToString>(diagnostics: &[F]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

// === impl Failure ===

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
