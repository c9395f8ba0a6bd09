//! The text of a refusal.

use std::{fmt::Write as _, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::output::{escape, without_location};

/// Code, reason and message of a refusal, every invalid field, and what to do: the statement to add, the page that
/// explains the reason, and the request id for those who can look it up.
pub(super) fn refusal(status: &Status) -> String {
    let info = status.get_details_error_info();
    let reason = info.as_ref().map(|info| format!(" ({})", escape(&info.reason))).unwrap_or_default();
    let document = info.as_ref().and_then(|info| info.metadata.get("remedy_document"));
    let document = document.filter(|document| !document.is_empty());
    let message = if document.is_some() { without_location(status.message()) } else { status.message() };
    let mut text = format!("{}{reason}: {}", code_name(status.code()), escape_lines(message));
    for violation in status.get_details_bad_request().into_iter().flat_map(|it| it.field_violations) {
        let (field, what) = (escape(&violation.field), escape(&violation.description));
        // A message that lists its fields already says it.
        if !status.message().contains(&violation.description) {
            let _infallible = write!(text, "\n  {field}: {what}");
        }
        if let Some(option) = option_of(&violation.field) {
            let _infallible = write!(text, "\nThe option {option} sets it.");
        }
    }
    if let Some(document) = document {
        let _infallible = write!(text, "\nThe statement to add:\n{}", escape_lines(document));
    }
    for link in status.get_details_help().into_iter().flat_map(|help| help.links) {
        let _infallible = write!(text, "\nMore: {}", escape(&link.url));
    }
    if let Some(request) = status.get_details_request_info() {
        let _infallible = write!(text, "\nRequest id: {}", escape(&request.request_id));
    }
    text
}

/// The option for a field whose name is not that of its option.
fn option_of(field: &str) -> Option<&'static str> {
    match field {
        "account_id" => Some("--account"),
        "region" => Some("--region"),
        _ => None,
    }
}

pub(super) fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

/// The name of a code in the gRPC specification.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
