//! The exit codes, as docs/cli.md lists them.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::error::Failure;

/// The request failed or would fail, or the answer is negative.
const FAILED: u8 = 1;
/// The arguments are invalid.
const USAGE: u8 = 2;
/// The caller may not do it.
const DENIED: u8 = 3;
/// An object does not exist.
const NOT_FOUND: u8 = 4;
/// The same command can succeed later.
const TRY_AGAIN: u8 = 5;

pub(super) fn of(failure: &Failure) -> u8 {
    match failure {
        Failure::Usage(_) => USAGE,
        Failure::Refused(status) => of_status(status),
        Failure::Unreachable { .. } | Failure::Timeout { .. } | Failure::NotYet(_) => TRY_AGAIN,
        Failure::Denied(_) => DENIED,
        Failure::NotFound(_) => NOT_FOUND,
        Failure::In { failure, .. } | Failure::WithHint { failure, .. } => of(failure),
        Failure::Several(failures) => failures.first().map_or(FAILED, of),
        Failure::Negative(_) | Failure::Output(_) => FAILED,
    }
}

impl Failure {
    /// Whether the same command can succeed later.
    pub(crate) fn can_pass(&self) -> bool {
        of(self) == TRY_AGAIN
    }
}

fn of_status(status: &Status) -> u8 {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => DENIED,
        Code::NotFound => NOT_FOUND,
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => TRY_AGAIN,
        Code::Aborted => {
            let reason = status.get_details_error_info().map(|info| info.reason);
            if reason.as_deref() == Some("CONFLICTING_CHANGE") { TRY_AGAIN } else { FAILED }
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => FAILED,
    }
}

#[cfg(test)]
mod tests;
