//! The first span of a trace in this process: that of a request, or of work that no request waits for.

use futures_util::future::Either;
use http::HeaderMap;
use opentelemetry::{
    Context,
    context::{FutureExt as _, WithContext},
    propagation::TextMapPropagator as _,
    trace::TraceContextExt as _,
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Instrument as _, Span, instrument::Instrumented};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{layer::TARGET, step::is_sampled_in};
use crate::domain::call::TraceId;

/// The first span of a trace. Without an exporter there is none.
#[derive(Debug)]
pub struct Root {
    /// Disabled if the trace is not sampled.
    span: Span,
    /// What calls to other services continue, sampled or not.
    context: Option<Context>,
}

// === impl Root ===

impl Root {
    /// No trace.
    #[must_use]
    pub fn none() -> Self {
        Self { span: Span::none(), context: None }
    }

    /// The span of a request with this name. `parent` has the headers with the caller's span.
    #[must_use]
    pub fn request(name: &str, parent: Option<&HeaderMap>) -> Self {
        let span =
            tracing::info_span!(target: TARGET, parent: None, "root", otel.name = name, otel.kind = "server");
        Self::start(span, parent)
    }

    /// The span of work that no request waits for.
    #[must_use]
    pub fn background(name: &'static str) -> Self {
        let span = tracing::info_span!(target: TARGET, parent: None, "root", otel.name = name);
        Self::start(span, None)
    }

    /// Starts the span, which decides whether the trace is sampled.
    fn start(span: Span, parent: Option<&HeaderMap>) -> Self {
        if span.is_disabled() {
            return Self { span, context: None };
        }
        if let Some(headers) = parent {
            let extractor = HeaderExtractor(headers);
            let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &extractor);
            // It fails only for a span that has started.
            let _ = span.set_parent(parent);
        }
        let context = span.context();
        let span = if is_sampled_in(&context) { span } else { Span::none() };
        Self { span, context: Some(context) }
    }

    /// Whether there is no trace, sampled or not.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.context.is_none()
    }

    /// The trace, if it is sampled.
    #[must_use]
    pub fn sampled_trace(&self) -> Option<TraceId> {
        let context = self.context.as_ref().filter(|context| is_sampled_in(context))?;
        TraceId::from_bytes(context.span().span_context().trace_id().to_bytes())
    }

    /// Runs the future within this span, which ends with it.
    pub fn record<F: Future>(self, future: F) -> Instrumented<Either<F, WithContext<F>>> {
        let future = match self.context {
            None => Either::Left(future),
            Some(context) => Either::Right(future.with_context(context)),
        };
        future.instrument(self.span)
    }
}
