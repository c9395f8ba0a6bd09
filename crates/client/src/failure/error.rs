//! The reasons for which a command fails.

use std::{fmt, io, path::Path, time::Duration};

use tonic::Status;

use super::refusal;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments or the files that they name are invalid.
    #[error("{0}")]
    Usage(String),
    /// The service refused the call.
    #[error("{}", refusal::refusal(.0))]
    Refused(Box<Status>),
    /// The service gave no answer.
    #[error("cannot reach {server}: {cause}")]
    Unreachable {
        /// The URL of the service.
        server: String,
        /// What failed.
        cause: String,
    },
    /// The service did not answer in time.
    #[error("no answer from {server} within {}; use a longer --timeout", refusal::seconds(.after))]
    Timeout {
        /// The URL of the service.
        server: String,
        /// The timeout.
        after: Duration,
    },
    /// The service answered, and the answer is what the command calls a failure. It has been printed.
    #[error("{0}")]
    Negative(String),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// A file cannot be read or written.
    pub(crate) fn file(verb: &str, path: &Path, cause: &dyn fmt::Display) -> Self {
        Self::Usage(format!("cannot {verb} {}: {cause}", path.display()))
    }
}
