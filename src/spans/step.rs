//! The steps of a sampled trace: children of the span that is current where they start.

use std::borrow::Cow;

use futures_util::future::Either;
use opentelemetry::{
    Context, KeyValue,
    context::{FutureExt as _, WithContext},
    propagation::{Injector, TextMapPropagator as _},
    trace::{Status, TraceContextExt as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::layer::TARGET;
use crate::domain::association::Location;

/// The attribute that says why a step failed; its values are few.
const ERROR_TYPE: &str = "error.type";

/// Whether what happens here belongs to a sampled trace.
#[must_use]
pub fn is_sampled() -> bool {
    Context::map_current(is_sampled_in)
}

pub(super) fn is_sampled_in(context: &Context) -> bool {
    context.has_active_span() && context.span().span_context().is_sampled()
}

/// The span of a step with this name. Outside a sampled trace it is disabled.
#[must_use]
pub fn step(name: &'static str) -> Span {
    if is_sampled() { tracing::info_span!(target: TARGET, "step", otel.name = name) } else { Span::none() }
}

/// Adds attributes to the current span.
pub fn annotate<A: IntoIterator<Item = KeyValue>>(attributes: impl FnOnce() -> A) {
    Context::map_current(|context| {
        if is_sampled_in(context) {
            context.span().set_attributes(attributes());
        }
    });
}

/// Marks the current span as failed. `error_type` is one of few words.
pub fn fail(error_type: &'static str) {
    Context::map_current(|context| {
        if is_sampled_in(context) {
            context.span().set_attribute(KeyValue::new(ERROR_TYPE, error_type));
            context.span().set_status(Status::error(""));
        }
    });
}

/// Marks this span as failed. `error_type` is one of few words.
pub fn fail_span(span: &Span, error_type: Cow<'static, str>) {
    span.set_attribute(ERROR_TYPE, error_type);
    span.set_status(Status::error(""));
}

/// Says where the calls to AWS of this future go.
pub fn with_location<F: Future>(location: impl FnOnce() -> Location, future: F) -> Either<F, WithContext<F>> {
    if is_sampled() {
        Either::Right(future.with_context(Context::current_with_value(location())))
    } else {
        Either::Left(future)
    }
}

/// The account and Region that [`with_location`] set.
#[must_use]
pub fn current_location() -> Option<Location> {
    Context::map_current(|context| context.get::<Location>().cloned())
}

/// Adds the headers that continue the trace in another service: at this span, or at the current one if it is disabled.
pub fn propagate(span: &Span, headers: &mut dyn Injector) {
    let context = if span.is_disabled() { Context::current() } else { span.context() };
    TraceContextPropagator::new().inject_context(&context, headers);
}
