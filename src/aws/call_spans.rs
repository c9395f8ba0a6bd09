//! The spans of the calls to AWS, by the semantic conventions of AWS SDKs
//! (<https://github.com/open-telemetry/semantic-conventions/blob/v1.36.0/docs/cloud-providers/aws-sdk.md>).

use std::borrow::Cow;

use aws_sdk_sts::error::BoxError;
use aws_smithy_runtime_api::{
    client::{
        interceptors::{
            Intercept,
            context::{BeforeTransmitInterceptorContextMut, FinalizerInterceptorContextRef},
        },
        orchestrator::Metadata,
        runtime_components::RuntimeComponents,
    },
    http::Headers,
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use opentelemetry::propagation::Injector;
use parking_lot::Mutex;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{domain::association::Location, spans};

/// The headers in which the services of AWS return the id of a request.
const REQUEST_ID_HEADERS: [&str; 2] = ["x-amzn-requestid", "x-amz-request-id"];

/// Gives each attempt of a call within a sampled trace a span, and sends the `traceparent` of every traced call.
#[derive(Debug)]
pub(super) struct CallSpans;

/// The span of the attempt in flight. It fails if nobody waits for the answer.
#[derive(Debug)]
struct Attempt(Mutex<Option<Span>>);

/// Sets headers of a request.
struct RequestHeaders<'a>(&'a mut Headers);

impl Storable for Attempt {
    type Storer = StoreReplace<Self>;
}

/// The span of an attempt. Outside a sampled trace it is disabled.
fn start(metadata: &Metadata) -> Span {
    if !spans::is_sampled() {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: spans::TARGET,
        "call",
        otel.name = %format_args!("{}.{}", metadata.service(), metadata.name()),
        otel.kind = "client",
        rpc.system = "aws-api",
        rpc.service = metadata.service(),
        rpc.method = metadata.name(),
    );
    if let Some(Location { account, region }) = spans::current_location() {
        span.set_attribute("cloud.account.id", account.to_string());
        span.set_attribute("cloud.region", region.to_string());
    }
    span
}

// === impl CallSpans ===

impl Intercept for CallSpans {
    fn name(&self) -> &'static str {
        "CallSpans"
    }

    /// After the signature: a proxy that adds another span would otherwise invalidate it.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(metadata) = config.load::<Metadata>() else { return Ok(()) };
        let span = start(metadata);
        spans::propagate(&span, &mut RequestHeaders(context.request_mut().headers_mut()));
        if !span.is_disabled() {
            config.interceptor_state().store_put(Attempt(Mutex::new(Some(span))));
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(span) = config.load::<Attempt>().and_then(|attempt| attempt.0.lock().take()) else {
            return Ok(());
        };
        let Some(response) = context.response() else {
            spans::fail_span(&span, "no_answer".into());
            return Ok(());
        };
        let status = response.status().as_u16();
        span.set_attribute("http.response.status_code", i64::from(status));
        if let Some(id) = REQUEST_ID_HEADERS.iter().find_map(|name| response.headers().get(name)) {
            span.set_attribute("aws.request_id", id.to_owned());
        }
        if !response.status().is_success() {
            spans::fail_span(&span, Cow::Owned(status.to_string()));
        }
        Ok(())
    }
}

// === impl Attempt ===

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(span) = self.0.get_mut() {
            spans::fail_span(span, "no_answer".into());
        }
    }
}

// === impl RequestHeaders ===

impl Injector for RequestHeaders<'_> {
    fn set(&mut self, name: &str, value: String) {
        // An empty `tracestate` says nothing.
        if !value.is_empty() {
            // It fails only for values that no header can have, and a `traceparent` is none of them.
            let _ = self.0.try_insert(name.to_owned(), value);
        }
    }
}
