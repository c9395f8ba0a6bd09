//! The token of a call.

use std::{convert::Infallible, fmt, str::FromStr};

use tonic::metadata::{Ascii, MetadataValue};

/// A token. Its `Debug` does not print it.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Token(String);

/// A token as it is given. It is verified only when it is used, because the parser of the command line would print one
/// that is invalid. Its `Debug` does not print it.
#[derive(Clone)]
pub(crate) struct UncheckedToken(String);

// === impl UncheckedToken ===

impl UncheckedToken {
    pub(crate) fn parse(&self) -> Result<Token, String> {
        self.0.parse()
    }
}

impl FromStr for UncheckedToken {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for UncheckedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UncheckedToken")
    }
}

// === impl Token ===

impl Token {
    /// The value of the metadata `authorization`.
    pub(crate) fn authorization(&self) -> MetadataValue<Ascii> {
        // `from_str` lets only visible ASCII characters pass.
        let value = format!("Bearer {}", self.0).parse();
        let mut value = value.unwrap_or_else(|_invalid| MetadataValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
            return Err("it begins with \"Bearer\"; give only the token".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token has no spaces and only ASCII characters".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
