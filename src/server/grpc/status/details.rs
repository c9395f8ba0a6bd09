//! The parts of a status apart from its code.

use std::{collections::HashMap, fmt::Display, time::Duration};

use tonic_types::ErrorDetails;

use crate::ports::aws::AwsErrorDetails;

/// The longest part of an AWS error message that goes to a caller, in characters.
const MAX_AWS_MESSAGE: usize = 1000;
/// The parts of a status apart from its code.
pub(super) struct StatusDetails {
    pub(super) message: String,
    pub(super) details: ErrorDetails,
    pub(super) metadata: HashMap<String, String>,
}

// === impl StatusDetails ===

impl StatusDetails {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), details: ErrorDetails::new(), metadata: HashMap::new() }
    }

    pub(super) fn with(mut self, key: &str, value: impl Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    pub(super) fn with_bad_field(mut self, field: &str, problem: &str) -> Self {
        self.details.add_bad_request_violation(field, problem);
        self
    }

    pub(super) fn with_retry(mut self, after: Duration) -> Self {
        self.details.set_retry_info(Some(after));
        self
    }

    pub(super) fn with_quota(mut self, subject: &str, what: &str) -> Self {
        self.details.add_quota_failure_violation(subject, what);
        self
    }

    pub(super) fn with_precondition(mut self, kind: &str, remedy: &str) -> Self {
        self.details.add_precondition_failure_violation(kind, "", remedy);
        self
    }

    pub(super) fn with_aws_message(mut self, answer: &AwsErrorDetails) -> Self {
        self.message.push_str(&printable(&answer.message));
        self
    }

    /// Adds the code, the message and the request id of AWS's response.
    pub(super) fn with_aws_error(self, answer: &AwsErrorDetails) -> Self {
        if answer.code.is_empty() {
            return self;
        }
        let details = self
            .with("aws_error_code", printable(&answer.code))
            .with("aws_message", printable(&answer.message));
        answer.request_id.iter().fold(details, |details, id| details.with("aws_request_id", printable(id)))
    }
}

/// Limits a text from AWS to [`MAX_AWS_MESSAGE`] characters, and removes its control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_AWS_MESSAGE).collect()
}
