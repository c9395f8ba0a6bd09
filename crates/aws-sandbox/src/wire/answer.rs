//! Renders responses as bytes, with the headers that AWS sends.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full};
use serde_json::{Value, json};

use super::body::Body;
use crate::{api_error::ApiError, service::Service};

/// The header on every response that distinguishes the sandbox from AWS.
const MARKER: &str = "x-logkey-sandbox";
const JSON: &str = "application/x-amz-json-1.1";
const JSON_1_0: &str = "application/x-amz-json-1.0";
const XML: &str = "text/xml";

/// The result of a successful operation.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// An empty body, as most changes return.
    Empty,
    /// A JSON object.
    Json(Value),
    /// The contents of the `…Result` element.
    Xml(String),
}

/// The successful response to `operation`.
pub(crate) fn success(service: Service, operation: &str, answer: Answer, request_id: &str) -> Response<Body> {
    let bytes = match answer {
        Answer::Empty => Bytes::new(),
        Answer::Json(value) => value.to_string().into(),
        Answer::Xml(inside) => format!(
            "<{operation}Response xmlns=\"{}\"><{operation}Result>{inside}</{operation}Result>\
             <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>",
            namespace(service)
        )
        .into(),
    };
    response(content_type(service), StatusCode::OK, bytes, request_id)
}

/// An error response of `service`.
pub(crate) fn error(service: Service, refusal: &ApiError, request_id: &str) -> Response<Body> {
    let ApiError { code, message, status } = refusal;
    let bytes = if service.is_json() {
        // AWS's authorization layer capitalizes this field.
        let field = if code == "AccessDeniedException" { "Message" } else { "message" };
        let namespace = if service == Service::Sqs { "com.amazonaws.sqs#" } else { "" };
        json!({ "__type": format!("{namespace}{code}"), field: message }).to_string()
    } else {
        let fault = if status.is_server_error() { "Receiver" } else { "Sender" };
        let (code, message) = (escape(code), escape(message));
        format!(
            "<ErrorResponse xmlns=\"{}\"><Error><Type>{fault}</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
            namespace(service)
        )
    };
    let mut response = response(content_type(service), *status, bytes.into(), request_id);
    if let (Service::Sqs, Ok(value)) = (service, HeaderValue::from_str(&query_error(code))) {
        response.headers_mut().insert("x-amzn-query-error", value);
    }
    response
}

/// A response with the headers that all responses carry.
pub(crate) fn response(
    content_type: &'static str,
    status: StatusCode,
    bytes: Bytes,
    request_id: &str,
) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(bytes)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(MARKER, HeaderValue::from_static("1"));
    // The control API has no request ids.
    if let (false, Ok(id)) = (request_id.is_empty(), HeaderValue::from_str(request_id)) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

fn namespace(service: Service) -> String {
    format!("https://{}.amazonaws.com/doc/{}/", service.name(), service.version())
}

fn content_type(service: Service) -> &'static str {
    match service {
        Service::Sqs => JSON_1_0,
        Service::Logs | Service::Kms | Service::ServiceQuotas | Service::Tagging => JSON,
        Service::Sts | Service::Iam => XML,
    }
}

/// The code of an SQS error in the query protocol, which SDKs report instead of that in JSON:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-json-faqs.html>.
fn query_error(code: &str) -> String {
    let query = match code {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue",
        "QueueNameExists" => "QueueAlreadyExists",
        "BatchEntryIdsNotDistinct" => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        "EmptyBatchRequest" => "AWS.SimpleQueueService.EmptyBatchRequest",
        "TooManyEntriesInBatchRequest" => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "MessageNotInflight" => "AWS.SimpleQueueService.MessageNotInflight",
        "UnsupportedOperation" => "AWS.SimpleQueueService.UnsupportedOperation",
        "AccessDeniedException" => "AccessDenied",
        other => other,
    };
    format!("{query};Sender")
}

/// Escapes text for the contents of an XML element.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
