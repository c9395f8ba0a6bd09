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
    /// An issuer refused to log in.
    #[error("{0}")]
    Denied(String),
    /// What the command waits for has not happened yet.
    #[error("{0}")]
    NotYet(String),
    /// An object that the command looked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// A failure about one of several objects.
    #[error("{context}: {failure}")]
    In {
        /// The object.
        context: String,
        /// What failed.
        failure: Box<Failure>,
    },
    /// A failure with what to do.
    #[error("{failure}\n{hint}")]
    WithHint {
        /// What failed.
        failure: Box<Failure>,
        /// What to do.
        hint: String,
    },
    /// Several objects failed. The first one decides on the exit code.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Failure>),
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
