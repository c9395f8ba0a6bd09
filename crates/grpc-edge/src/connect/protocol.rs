//! What the headers of a request say: the form of the body, the codec, the compression and the timeout.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TE, TRANSFER_ENCODING,
    },
};

use super::compression::Encoding;

/// The content types of Connect.
#[cfg(test)]
pub(crate) const CONTENT_TYPES: [&str; 4] =
    ["application/json", "application/proto", "application/connect+json", "application/connect+proto"];

/// The timeout, in milliseconds.
const TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
/// The timeout of gRPC.
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The version of the protocol: `1`. Optional, so that `curl --json` works.
const VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
const STREAM_CONTENT_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
const STREAM_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("connect-accept-encoding");

/// The encoding of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Json,
    Proto,
}

/// The form of the bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The body is one message.
    Unary,
    /// The body is a series of envelopes.
    Stream,
}

/// What the headers of a request say.
#[derive(Clone, Debug)]
pub(super) struct Protocol {
    pub(super) form: Form,
    pub(super) codec: Codec,
    /// The compression of the request.
    pub(super) request_encoding: Encoding,
    /// Whether the response may be compressed with gzip.
    pub(super) accepts_gzip: bool,
    pub(super) timeout: Option<Duration>,
    /// Whether the version of the protocol is absent or known.
    pub(super) is_known_version: bool,
}

// === impl Protocol ===

impl Protocol {
    /// None if the request is not one of Connect.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let essence = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
        let (form, codec) = match essence.to_ascii_lowercase().as_str() {
            "application/json" => (Form::Unary, Codec::Json),
            "application/proto" => (Form::Unary, Codec::Proto),
            "application/connect+json" => (Form::Stream, Codec::Json),
            "application/connect+proto" => (Form::Stream, Codec::Proto),
            _ => return None,
        };
        let (content_encoding, accept_encoding) = match form {
            Form::Unary => (CONTENT_ENCODING, ACCEPT_ENCODING),
            Form::Stream => (STREAM_CONTENT_ENCODING, STREAM_ACCEPT_ENCODING),
        };
        Some(Self {
            form,
            codec,
            request_encoding: Encoding::of(headers.get(content_encoding)),
            accepts_gzip: accepts_gzip(headers, &accept_encoding),
            timeout: headers.get(TIMEOUT).and_then(milliseconds).map(Duration::from_millis),
            is_known_version: headers.get(VERSION).is_none_or(|version| version == "1"),
        })
    }

    /// The content type of a response with a message.
    pub(super) fn content_type(&self) -> HeaderValue {
        HeaderValue::from_static(match (self.form, self.codec) {
            (Form::Unary, Codec::Json) => "application/json",
            (Form::Unary, Codec::Proto) => "application/proto",
            (Form::Stream, Codec::Json) => "application/connect+json",
            (Form::Stream, Codec::Proto) => "application/connect+proto",
        })
    }
}

/// Replaces Connect's headers with those of gRPC.
pub(super) fn to_grpc(headers: &mut HeaderMap) {
    if let Some(timeout) = headers.remove(TIMEOUT) {
        headers.insert(GRPC_TIMEOUT, grpc_timeout(timeout));
    }
    for name in [
        ACCEPT_ENCODING,
        CONNECTION,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        STREAM_ACCEPT_ENCODING,
        STREAM_CONTENT_ENCODING,
        VERSION,
    ] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
}

/// The timeout in the form of gRPC, which has at most eight digits. A malformed one stays malformed, so that the server
/// treats it like a malformed `grpc-timeout`.
fn grpc_timeout(value: HeaderValue) -> HeaderValue {
    let Some(millis) = milliseconds(&value) else { return value };
    let text =
        if millis < 100_000_000 { format!("{millis}m") } else { format!("{}S", millis.div_ceil(1000)) };
    HeaderValue::try_from(text).unwrap_or(value)
}

/// A positive number of at most ten digits.
fn milliseconds(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    let is_number = (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn accepts_gzip(headers: &HeaderMap, name: &HeaderName) -> bool {
    let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut codings = lists.flat_map(|list| list.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_content_type_selects_form_and_codec() {
        for content_type in CONTENT_TYPES {
            let protocol = Protocol::of(&headers(&[("content-type", content_type)])).unwrap();
            assert_eq!(protocol.content_type(), content_type);
        }
        assert!(Protocol::of(&headers(&[("content-type", "Application/JSON; charset=utf-8")])).is_some());
        for other in ["application/grpc", "application/json+x", "text/json", ""] {
            assert!(Protocol::of(&headers(&[("content-type", other)])).is_none(), "{other}");
        }
    }

    #[test]
    fn a_timeout_keeps_its_length_or_stays_malformed() {
        for (connect, grpc) in [
            ("1", "1m"),
            ("99999999", "99999999m"),
            ("100000001", "100001S"),
            ("9999999999", "10000000S"),
            ("10000000000", "10000000000"),
            ("1.5", "1.5"),
            ("", ""),
            ("-1", "-1"),
        ] {
            let mut headers = headers(&[("connect-timeout-ms", connect)]);
            to_grpc(&mut headers);
            assert_eq!(headers.get("grpc-timeout").unwrap(), grpc);
            assert!(!headers.contains_key("connect-timeout-ms"));
        }
    }

    #[test]
    fn gzip_is_used_only_if_the_client_accepts_it() {
        let accepts = |value| accepts_gzip(&headers(&[("accept-encoding", value)]), &ACCEPT_ENCODING);
        for value in ["gzip", "br, GZIP;q=0.5", "deflate,gzip"] {
            assert!(accepts(value), "{value}");
        }
        for value in ["", "br", "gzip;q=0", "x-gzip"] {
            assert!(!accepts(value), "{value}");
        }
    }
}
