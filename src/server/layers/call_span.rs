//! The span of a call, by the semantic conventions of gRPC
//! (<https://github.com/open-telemetry/semantic-conventions/blob/v1.36.0/docs/rpc/grpc.md>).

use http::{HeaderMap, Request};
use opentelemetry::KeyValue;
use tonic::body::Body;

use crate::{
    domain::{
        call::{Action, Call},
        grpc_code::CODE_NAMES,
    },
    proto::{
        audit_service_server as audit, bulk_association_service_server as bulk,
        coverage_service_server as coverage, encryption_rule_service_server as rules,
        key_association_service_server as associations, tenant_service_server as tenants,
    },
    server::grpc::status,
    spans::{self, Root},
};

/// The name of a method that the service does not have, so that callers cannot invent names.
const OTHER: &str = "_OTHER";
/// The services whose methods have a name.
const SERVICES: [&str; 6] = [
    audit::SERVICE_NAME,
    bulk::SERVICE_NAME,
    coverage::SERVICE_NAME,
    rules::SERVICE_NAME,
    associations::SERVICE_NAME,
    tenants::SERVICE_NAME,
];
/// The codes that are errors of the server.
const SERVER_ERRORS: [&str; 6] =
    ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// Starts the span of a call, except for health probes and reflection. It continues the caller's trace, if the call has a
/// valid `traceparent`.
pub(super) fn start(request: &Request<Body>, has_parent: bool) -> Root {
    let path = request.uri().path();
    if path.starts_with("/grpc.") {
        return Root::none();
    }
    let name = if method_of(path).is_some() { path.trim_start_matches('/') } else { OTHER };
    Root::request(name, has_parent.then(|| request.headers()))
}

/// The service and the method of a path, if both exist.
fn method_of(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let is_known = SERVICES.contains(&service) && Action::from_grpc_name(method) != Action::Unknown;
    is_known.then_some((service, method))
}

/// Adds what the log line of the call says to its span, the current one.
pub(super) fn describe(call: &Call, path: &str, response: &HeaderMap) {
    let code = status::code_name(response);
    spans::annotate(|| {
        let summary = &call.summary;
        let (service, method) = method_of(path).unwrap_or((OTHER, OTHER));
        let number = CODE_NAMES.iter().position(|name| *name == code);
        let location = summary.location();
        let attributes = [
            Some(KeyValue::new("rpc.system", "grpc")),
            Some(KeyValue::new("rpc.service", service.to_owned())),
            Some(KeyValue::new("rpc.method", method.to_owned())),
            number
                .and_then(|number| i64::try_from(number).ok())
                .map(|number| KeyValue::new("rpc.grpc.status_code", number)),
            Some(KeyValue::new("logkey.request_id", call.request_id.as_str().to_owned())),
            summary.principal().map(|principal| KeyValue::new("logkey.tenant", principal.tenant.to_string())),
            location.map(|location| KeyValue::new("cloud.account.id", location.account.to_string())),
            location.map(|location| KeyValue::new("cloud.region", location.region.to_string())),
            summary.resource().map(|resource| KeyValue::new("cloud.resource_id", resource.arn().to_string())),
            summary
                .reason()
                .filter(|_| code != "OK")
                .map(|reason| KeyValue::new("logkey.reason", reason.as_str())),
        ];
        attributes.into_iter().flatten()
    });
    if SERVER_ERRORS.contains(&code) {
        spans::fail(code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_methods_of_served_services_name_a_span() {
        assert_eq!(
            method_of("/keyassociation.v1.KeyAssociationService/AssociateKmsKey"),
            Some(("keyassociation.v1.KeyAssociationService", "AssociateKmsKey"))
        );
        for path in [
            "/keyassociation.v1.Invented/AssociateKmsKey",
            "/x",
            "",
            "//",
            "/keyassociation.v1.TenantService/",
            "/keyassociation.v1.TenantService/Invented",
        ] {
            assert_eq!(method_of(path), None, "{path}");
        }
    }
}
