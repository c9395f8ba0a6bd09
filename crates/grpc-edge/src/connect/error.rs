//! Writes the error of a call as Connect does: a JSON object with the code, the message and the details.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http::StatusCode;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::pb;

/// The error as a JSON object.
pub(super) fn to_json(pool: &DescriptorPool, status: &Status) -> Value {
    let mut error = Map::new();
    error.insert("code".to_owned(), json!(name(status.code())));
    if !status.message().is_empty() {
        error.insert("message".to_owned(), json!(status.message()));
    }
    let details = pb::Status::decode(status.details()).unwrap_or_default().details;
    if !details.is_empty() {
        let details = details.iter().map(|any| detail(pool, &any.type_url, &any.value));
        error.insert("details".to_owned(), details.collect());
    }
    Value::Object(error)
}

/// One detail: its type and bytes, and for people its fields in `debug`.
fn detail(pool: &DescriptorPool, type_url: &str, value: &[u8]) -> Value {
    let name = type_url.rsplit('/').next().unwrap_or(type_url);
    let mut detail = json!({ "type": name, "value": STANDARD_NO_PAD.encode(value) });
    let message = pool.get_message_by_name(name).and_then(|of| DynamicMessage::decode(of, value).ok());
    let debug = message.and_then(|message| serde_json::to_value(&message).ok());
    if let (Some(debug), Some(detail)) = (debug, detail.as_object_mut()) {
        detail.insert("debug".to_owned(), debug);
    }
    detail
}

/// The name of a code (<https://connectrpc.com/docs/protocol#error-codes>).
fn name(code: Code) -> &'static str {
    match code {
        // An error never has this code.
        Code::Ok | Code::Unknown => "unknown",
        Code::Cancelled => "canceled",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

/// The HTTP status of a unary error, from the same table.
pub(super) fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    #[test]
    fn an_error_has_its_code_message_and_details() {
        let details = ErrorDetails::with_error_info(
            "KEY_DISABLED",
            "keyassociation.v1",
            [("a".to_owned(), "b".to_owned())],
        );
        let status = Status::with_error_details(Code::FailedPrecondition, "no", details);
        let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
        let error = to_json(&pool, &status);
        assert_eq!((&error["code"], &error["message"]), (&json!("failed_precondition"), &json!("no")));
        let detail = &error["details"][0];
        assert_eq!(detail["type"], "google.rpc.ErrorInfo");
        assert_eq!(detail["debug"]["reason"], "KEY_DISABLED");
        let value = STANDARD_NO_PAD.decode(detail["value"].as_str().unwrap()).unwrap();
        assert_eq!(pb::ErrorInfo::decode(&*value).unwrap().reason, "KEY_DISABLED");
        assert_eq!(to_json(&pool, &Status::aborted("")), json!({ "code": "aborted" }));
    }
}
