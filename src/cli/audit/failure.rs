//! Why a subcommand of `logkey audit` failed.

use std::{error::Error, io::Write as _, process::ExitCode};

use logkey_client::output::is_closed_pipe;

use crate::domain::error_chain::error_chain;

/// Why a subcommand failed; `run` prints it.
#[derive(Debug)]
pub(in crate::cli) enum Failure {
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

impl Failure {
    /// Prints the failure, and returns the exit code: 2 for an invalid configuration, and `other` for any other
    /// error. A reader that has read enough closes the pipe; that is no failure.
    pub(in crate::cli) fn report(self, other: u8) -> ExitCode {
        match self {
            Self::Settings(diagnostics) => {
                print(&diagnostics);
                ExitCode::from(2)
            }
            Self::Other(error) if error.downcast_ref().is_some_and(is_closed_pipe) => ExitCode::SUCCESS,
            Self::Other(error) => {
                print(&format!("logkey: {}", error_chain(&*error)));
                ExitCode::from(other)
            }
        }
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}
