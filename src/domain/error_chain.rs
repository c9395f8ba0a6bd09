//! Formats an error and its causes on one line, for log lines and audit events.

use std::error::Error;

/// The messages of the error and of its causes, separated by colons. Some libraries repeat the message of the
/// cause in their own; it is then left out.
#[must_use]
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let cause = source.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);

    #[derive(Debug, Error)]
    #[error("inner")]
    struct Inner;

    #[test]
    fn every_cause_follows_the_error_that_it_caused() {
        assert_eq!(error_chain(&Outer(Inner)), "outer: inner");
    }

    #[derive(Debug, Error)]
    #[error("repeating: {0}")]
    struct Repeating(#[source] Outer);

    #[test]
    fn a_cause_that_the_error_repeats_is_said_once() {
        assert_eq!(error_chain(&Repeating(Outer(Inner))), "repeating: outer: inner");
    }
}
