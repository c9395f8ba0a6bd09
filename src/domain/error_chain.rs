//! An error and everything that lies behind it, in one line: for logs and records.

use std::error::Error;

/// The texts of the error and of its causes, with colons between.
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
    fn every_cause_is_told_after_what_it_caused() {
        assert_eq!(error_chain(&Outer(Inner)), "outer: inner");
    }
}
