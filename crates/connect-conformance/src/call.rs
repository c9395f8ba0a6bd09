//! What the service echoes of a call: its headers, its timeout and its messages.

use connect_conformance::{ConformancePayload, Error, Header, conformance_payload::RequestInfo};
use http::HeaderMap;
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

/// The prefix of the type names.
const PACKAGE: &str = "type.googleapis.com/connectrpc.conformance.v1";

/// The request as far as it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(RequestInfo);

// === impl Seen ===

impl Seen {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values =
            |name| headers.get_all(name).iter().filter_map(|value| Some(value.to_str().ok()?.to_owned()));
        let request_headers = headers
            .keys()
            .map(|name| Header { name: name.as_str().to_owned(), value: values(name).collect() })
            .collect();
        let timeout_ms = headers.get("grpc-timeout").and_then(|value| timeout_ms(value.to_str().ok()?));
        Self(RequestInfo { request_headers, timeout_ms, ..RequestInfo::default() })
    }

    /// Adds a message of the request.
    pub(crate) fn add(&mut self, name: &str, message: &impl Message) {
        self.0.requests.push(Any { type_url: format!("{PACKAGE}.{name}"), value: message.encode_to_vec() });
    }

    /// What a full-duplex call has shown is not shown again.
    pub(crate) fn take(&mut self) -> RequestInfo {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn payload(self, data: Vec<u8>) -> ConformancePayload {
        ConformancePayload { data, request_info: Some(self.0) }
    }

    /// The error of a definition, with the request in its details.
    pub(crate) fn status(self, error: Error) -> Status {
        let info = Any {
            type_url: format!("{PACKAGE}.ConformancePayload.RequestInfo"),
            value: self.0.encode_to_vec(),
        };
        status(error, vec![info])
    }
}

/// The error of a definition with these additional details.
pub(crate) fn status(error: Error, more: Vec<Any>) -> Status {
    let Error { code, message, details } = error;
    let message = message.unwrap_or_default();
    let details = [details, more].concat();
    let encoded = pb::Status { code, message: message.clone(), details }.encode_to_vec();
    Status::with_details(Code::from_i32(code), message, encoded.into())
}

fn timeout_ms(text: &str) -> Option<i64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: i64 = digits.parse().ok()?;
    match unit {
        "S" => amount.checked_mul(1000),
        "m" => Some(amount),
        _ => None,
    }
}
