//! The token of a call.

use std::{fmt, str::FromStr};

use tonic::metadata::{Ascii, MetadataValue};

/// A token. Its `Debug` does not print it.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Token(String);

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
