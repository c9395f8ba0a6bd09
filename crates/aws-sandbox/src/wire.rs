//! The wire protocols: parses signed requests and renders responses. `CloudWatch` Logs, KMS, Service Quotas
//! and tags use AWS JSON 1.1; STS and IAM use the query protocol with XML.

mod answer;
mod scope;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, request::Parts};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use self::scope::Scope;
use super::api_error::ApiError;

pub(crate) use self::answer::{Answer, Body, error, escape, response, success};

/// The AWS services that the sandbox serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// `CloudWatch` Logs.
    Logs,
    /// Key Management Service.
    Kms,
    /// Security Token Service.
    Sts,
    /// Identity and Access Management.
    Iam,
    /// Resource Groups Tagging API.
    Tagging,
    /// Service Quotas.
    ServiceQuotas,
}

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
}

// === impl Service ===

impl Service {
    /// Whether the service uses AWS JSON 1.1.
    pub(crate) fn is_json(self) -> bool {
        match self {
            Self::Logs | Self::Kms | Self::ServiceQuotas | Self::Tagging => true,
            Self::Sts | Self::Iam => false,
        }
    }

    /// The service's name in a credential scope, an ARN and an action.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Kms => "kms",
            Self::Sts => "sts",
            Self::Iam => "iam",
            Self::Tagging => "tagging",
            Self::ServiceQuotas => "servicequotas",
        }
    }

    /// Whether one endpoint serves the whole partition, so the Region of the signature does not matter.
    pub(crate) fn is_global(self) -> bool {
        self == Self::Iam
    }

    /// The API version in the query protocol.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Iam => "2010-05-08",
            Self::Logs | Self::Kms | Self::Sts | Self::ServiceQuotas | Self::Tagging => "2011-06-15",
        }
    }

    fn of_target(prefix: &str) -> Option<Self> {
        match prefix {
            "Logs_20140328" => Some(Self::Logs),
            "TrentService" => Some(Self::Kms),
            "ResourceGroupsTaggingAPI_20170126" => Some(Self::Tagging),
            "ServiceQuotasV20190624" => Some(Self::ServiceQuotas),
            _ => None,
        }
    }
}

// === impl Call ===

impl Call {
    /// Parses a request. The service and operation come from `X-Amz-Target`. In a form, they come from the
    /// signature and `Action`. The Region comes from the credential scope of the signature.
    pub(crate) fn read(parts: &Parts, body: &Bytes) -> Result<Self, (Service, ApiError)> {
        let scope = text(&parts.headers, "authorization").and_then(Scope::read);
        let (service, operation, params) = if let Some(target) = text(&parts.headers, "x-amz-target") {
            json(target, body)?
        } else {
            let iam = scope.as_ref().is_some_and(|scope| scope.service == Service::Iam.name());
            let service = if iam { Service::Iam } else { Service::Sts };
            let (operation, params) = form(parts, body).map_err(|refusal| (service, refusal))?;
            (service, operation, params)
        };
        let scope = scope.ok_or_else(|| (service, ApiError::unsigned(service)))?;
        if scope.service != service.name() {
            let text = format!("Credential should be scoped to correct service: '{}'.", service.name());
            let refusal = ApiError::new("InvalidSignatureException", text);
            return Err((service, refusal));
        }
        Ok(Self {
            service,
            operation,
            region: scope.region.to_owned(),
            unverified_access_key: scope.access_key.to_owned(),
            unverified_token: text(&parts.headers, "x-amz-security-token").map(str::to_owned),
            params,
            invocation_id: text(&parts.headers, "amz-sdk-invocation-id").map(str::to_owned),
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

type ParsedTarget = (Service, String, Map<String, Value>);

fn json(target: &str, body: &Bytes) -> Result<ParsedTarget, (Service, ApiError)> {
    let (prefix, operation) = target.split_once('.').unwrap_or((target, ""));
    let Some(service) = Service::of_target(prefix) else {
        let refusal = ApiError::unknown_operation(Service::Logs, operation);
        return Err((Service::Logs, refusal));
    };
    let params = if body.is_empty() { Ok(Map::new()) } else { serde_json::from_slice(body) };
    match params {
        Ok(params) => Ok((service, operation.to_owned(), params)),
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
