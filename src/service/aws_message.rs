//! Quotes an error of AWS.

use crate::ports::aws::AwsErrorDetails;

/// The maximum length of a quoted message of AWS, in characters.
const MAX_MESSAGE: usize = 512;

/// AWS's code and message on one line, with limited length.
pub(in crate::service) fn aws_message(answer: &AwsErrorDetails) -> String {
    let message: String =
        answer.message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE).collect();
    format!("{}: {message}", answer.code)
}
