//! Parses requests: AWS JSON 1.0 or 1.1 with `X-Amz-Target`, or the query protocol's form with `Action`.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, request::Parts};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::scope::Scope;
use crate::{api_error::ApiError, service::Service};

/// One request, parsed but not yet authenticated.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) service: Service,
    pub(crate) operation: String,
    pub(crate) region: String,
    pub(crate) unverified_access_key: String,
    pub(crate) unverified_token: Option<String>,
    pub(crate) params: Map<String, Value>,
    /// The SDK's id for all attempts of one invocation.
    pub(crate) invocation_id: Option<String>,
    pub(crate) traceparent: Option<String>,
    /// The host and port that the caller used.
    pub(crate) host: String,
}

/// What the target or the form of a request says.
struct Operation {
    service: Service,
    name: String,
    params: Map<String, Value>,
}

// === impl Call ===

impl Call {
    /// Parses a request. The service and operation come from `X-Amz-Target`. In a form, they come from the
    /// signature and `Action`. The Region comes from the credential scope of the signature.
    pub(crate) fn read(parts: &Parts, body: &Bytes) -> Result<Self, (Service, ApiError)> {
        let scope = text(&parts.headers, "authorization").and_then(Scope::read);
        let Operation { service, name, params } = if let Some(target) = text(&parts.headers, "x-amz-target") {
            json(target, body)?
        } else {
            let iam = scope.as_ref().is_some_and(|scope| scope.service == Service::Iam.name());
            let service = if iam { Service::Iam } else { Service::Sts };
            let (name, params) = form(parts, body).map_err(|refusal| (service, refusal))?;
            Operation { service, name, params }
        };
        let scope = scope.ok_or_else(|| (service, ApiError::unsigned(service)))?;
        if scope.service != service.name() {
            let text = format!("Credential should be scoped to correct service: '{}'.", service.name());
            let refusal = ApiError::new("InvalidSignatureException", text);
            return Err((service, refusal));
        }
        Ok(Self {
            service,
            operation: name,
            region: scope.region.to_owned(),
            unverified_access_key: scope.access_key.to_owned(),
            unverified_token: text(&parts.headers, "x-amz-security-token").map(str::to_owned),
            params,
            invocation_id: text(&parts.headers, "amz-sdk-invocation-id").map(str::to_owned),
            traceparent: text(&parts.headers, "traceparent").map(str::to_owned),
            host: text(&parts.headers, "host").unwrap_or_default().to_owned(),
        })
    }

    /// Deserializes the parameters into the operation's input type.
    pub(crate) fn input<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        T::deserialize(&self.params).map_err(|error| ApiError::malformed(self.service, error.to_string()))
    }

    /// The members of a list parameter in the query protocol, in order.
    pub(crate) fn members(&self, name: &str) -> Vec<&str> {
        let numbered = (1..).map_while(|n| self.param(&format!("{name}.member.{n}")));
        numbered.collect()
    }

    /// A parameter, if it is a string.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).and_then(Value::as_str)
    }
}

fn json(target: &str, body: &Bytes) -> Result<Operation, (Service, ApiError)> {
    let (prefix, operation) = target.split_once('.').unwrap_or((target, ""));
    let Some(service) = Service::of_target(prefix) else {
        let refusal = ApiError::unknown_operation(Service::Logs, operation);
        return Err((Service::Logs, refusal));
    };
    let params = if body.is_empty() { Ok(Map::new()) } else { serde_json::from_slice(body) };
    match params {
        Ok(params) => Ok(Operation { service, name: operation.to_owned(), params }),
        Err(error) => Err((service, ApiError::malformed(service, error.to_string()))),
    }
}

fn form(parts: &Parts, body: &Bytes) -> Result<(String, Map<String, Value>), ApiError> {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let params: Map<String, Value> = url::form_urlencoded::parse(query)
        .chain(url::form_urlencoded::parse(body))
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    let Some(operation) = params.get("Action").and_then(Value::as_str) else {
        let text = "The request must contain the parameter Action";
        return Err(ApiError::new("MissingAction", text));
    };
    let operation = operation.to_owned();
    let params = params.into_iter().filter(|(name, _)| name != "Action" && name != "Version").collect();
    Ok((operation, params))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
