//! Formats an error and its causes on one line, for log lines and audit events.

use std::error::Error;

/// The messages of the error and of its causes, separated by colons.
#[must_use]
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
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
}
