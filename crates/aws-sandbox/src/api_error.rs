//! AWS's error responses: code, message and status. The messages use AWS's wording; where it is not known, a
//! comment says so.

use std::borrow::Cow;

use http::StatusCode;

use crate::service::Service;

/// One error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    /// The error code, as in `__type` or `<Code>`.
    pub(crate) code: Cow<'static, str>,
    /// The error message.
    pub(crate) message: String,
    /// The HTTP status.
    pub(crate) status: StatusCode,
}

// === impl ApiError ===

impl ApiError {
    /// A client error with status 400.
    pub(crate) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), status: StatusCode::BAD_REQUEST }
    }

    fn forbidden(service: Service, json: &'static str, query: &'static str, text: &str) -> Self {
        let refusal = Self::new(if service.is_json() { json } else { query }, text);
        if service.is_json() {
            return refusal;
        }
        Self { status: StatusCode::FORBIDDEN, ..refusal }
    }

    /// The caller does not have permission.
    pub(crate) fn access_denied(service: Service, message: &str) -> Self {
        Self::forbidden(service, "AccessDeniedException", "AccessDenied", message)
    }

    /// An unknown access key, a wrong session token, or a Region that the account has not enabled.
    pub(crate) fn unknown_credentials(service: Service) -> Self {
        let text = "The security token included in the request is invalid.";
        let (json, query) = ("UnrecognizedClientException", "InvalidClientTokenId");
        Self::forbidden(service, json, query, text)
    }

    /// The session has expired.
    pub(crate) fn expired(service: Service) -> Self {
        let text = "The security token included in the request is expired";
        Self::forbidden(service, "ExpiredTokenException", "ExpiredToken", text)
    }

    /// The signature was made with a different secret.
    pub(crate) fn bad_signature(service: Service) -> Self {
        let text = "The request signature we calculated does not match the signature you provided. Check your AWS \
                    Secret Access Key and signing method. Consult the service documentation for details.";
        Self::forbidden(service, "InvalidSignatureException", "SignatureDoesNotMatch", text)
    }

    /// The request is not signed.
    pub(crate) fn unsigned(service: Service) -> Self {
        let text = "Request is missing Authentication Token";
        let (json, query) = ("MissingAuthenticationTokenException", "MissingAuthenticationToken");
        Self::forbidden(service, json, query, text)
    }

    /// The account's quota is exhausted.
    pub(crate) fn throttled(service: Service) -> Self {
        match service {
            Service::Logs => Self::new("ThrottlingException", "Rate exceeded"),
            Service::Tagging => Self::new("ThrottledException", "Rate exceeded"),
            Service::Kms => Self::new(
                "ThrottlingException",
                "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
            ),
            Service::Sts | Service::Iam => Self::new("Throttling", "Rate exceeded"),
            Service::ServiceQuotas => Self::new("TooManyRequestsException", "Rate exceeded"),
            Service::Sqs => Self::new("RequestThrottled", "Rate exceeded"),
        }
    }

    /// The service does not have this operation.
    pub(crate) fn unknown_operation(service: Service, operation: &str) -> Self {
        if service.is_json() {
            return Self::new("UnknownOperationException", "");
        }
        let text = format!("Could not find operation {operation} for version {}", service.version());
        Self::new("InvalidAction", text)
    }

    /// The body does not match the operation's input.
    pub(crate) fn malformed(service: Service, text: impl Into<String>) -> Self {
        let code = if service.is_json() { "SerializationException" } else { "MalformedInput" };
        Self::new(code, text)
    }

    /// A value violates a constraint of the service model.
    pub(crate) fn constraint(service: Service, field: &str, value: &str, rule: &str) -> Self {
        let code = match service {
            Service::Logs | Service::Tagging => "InvalidParameterException",
            Service::Kms => "ValidationException",
            Service::ServiceQuotas => "IllegalArgumentException",
            Service::Sqs => "InvalidParameterValue",
            Service::Sts | Service::Iam => "ValidationError",
        };
        Self::new(
            code,
            format!(
                "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: {rule}"
            ),
        )
    }

    /// `NoSuchEntity` of IAM.
    pub(crate) fn no_such_entity(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, ..Self::new("NoSuchEntity", message) }
    }

    /// `InvalidParameterException` of `CloudWatch` Logs.
    pub(crate) fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    /// `ResourceNotFoundException` of `CloudWatch` Logs.
    pub(crate) fn log_group_not_found() -> Self {
        Self::new("ResourceNotFoundException", "The specified log group does not exist.")
    }

    /// `QueueDoesNotExist` of SQS.
    pub(crate) fn queue_not_found() -> Self {
        Self::new("QueueDoesNotExist", "The specified queue does not exist.")
    }

    /// `NotFoundException` of KMS.
    pub(crate) fn key_not_found(message: impl Into<String>) -> Self {
        Self::new("NotFoundException", message)
    }
}
