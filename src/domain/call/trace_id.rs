//! The trace of a call, as W3C Trace Context names it (<https://www.w3.org/TR/trace-context/#traceparent-header>).

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The id of a trace: 16 bytes that are not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The text is not a `traceparent` of W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a traceparent; expected for example 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
pub struct InvalidTraceparent;

// === impl TraceId ===

impl TraceId {
    /// The id with these bytes. `None` if all are zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The trace of a `traceparent`. A version after 00 may have more fields (section 4).
    ///
    /// # Errors
    ///
    /// [`InvalidTraceparent`].
    pub fn from_traceparent(text: &str) -> Result<Self, InvalidTraceparent> {
        let mut fields = text.split('-');
        let mut field = |length| fields.next().and_then(|field| hex(field, length)).ok_or(InvalidTraceparent);
        let (version, trace, parent, _flags) = (field(1)?, field(16)?, field(8)?, field(1)?);
        let has_more = fields.next().is_some();
        if version == [0xff] || version == [0] && has_more || parent == [0; 8] {
            return Err(InvalidTraceparent);
        }
        let bytes = trace.try_into().map_err(|_length| InvalidTraceparent)?;
        Self::from_bytes(bytes).ok_or(InvalidTraceparent)
    }
}

/// The bytes of a field of lower-case hexadecimal digits.
fn hex(text: &str, length: usize) -> Option<Vec<u8>> {
    let is_lower_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if text.len() != 2 * length || !text.as_bytes().iter().all(is_lower_hex) {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

impl FromStr for TraceId {
    type Err = InvalidTraceparent;

    /// Parses the hexadecimal form.
    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let bytes = hex(text, 16).and_then(|bytes| bytes.try_into().ok()).ok_or(InvalidTraceparent)?;
        Self::from_bytes(bytes).ok_or(InvalidTraceparent)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_traceparent_names_its_trace() {
        for text in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-00"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01-more"),
        ] {
            assert_eq!(TraceId::from_traceparent(&text).unwrap().to_string(), TRACE, "{text}");
        }
    }

    #[test]
    fn a_malformed_traceparent_names_no_trace() {
        for text in [
            String::new(),
            TRACE.to_owned(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}x-00f067aa0ba902b7-01"),
            format!("0-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-1"),
            "00-\u{fc}bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01".to_owned(),
        ] {
            assert_eq!(TraceId::from_traceparent(&text), Err(InvalidTraceparent), "{text}");
        }
    }
}
