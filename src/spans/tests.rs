use std::sync::Arc;

use futures_util::FutureExt as _;
use http::HeaderMap;
use opentelemetry::{
    KeyValue, SpanId,
    context::FutureExt as _,
    trace::{Status, TracerProvider as _},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use tracing::{Instrument as _, Span, subscriber};
use tracing_subscriber::{layer::SubscriberExt as _, registry};

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The headers of a caller with these flags.
fn parent(flags: &str) -> HeaderMap {
    let traceparent = format!("00-{TRACE}-{PARENT}-{flags}");
    HeaderMap::from_iter([
        ("traceparent".parse().unwrap(), traceparent.parse().unwrap()),
        ("tracestate".parse().unwrap(), "vendor=kept".parse().unwrap()),
    ])
}

/// The spans that `run` ends, where this fraction of the traces that begin here is sampled.
fn recorded(ratio: f64, run: impl FnOnce()) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
    let provider =
        SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).with_sampler(sampler).build();
    subscriber::with_default(registry().with(layer(provider.tracer("test"))), run);
    exporter.get_finished_spans().unwrap()
}

/// The headers that a call to another service would have here.
fn sent_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    propagate(&Span::none(), &mut opentelemetry_http::HeaderInjector(&mut headers));
    headers
}

fn run<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing waits")
}

#[test]
fn the_steps_of_a_request_are_children_of_its_span_also_in_a_task() {
    let spans = recorded(0.0, || {
        let root = Root::request("service/Method", Some(&parent("01")));
        assert_eq!(root.sampled_trace().unwrap().to_string(), TRACE);
        let mut task = None;
        run(root.record(async {
            annotate(|| [KeyValue::new("logkey.tenant", "payments")]);
            let step = async { fail("TOKEN_INVALID") };
            step.instrument(step_named("authentication")).await;
            task = Some(async { step_named("permit").in_scope(|| ()) }.with_current_context());
        }));
        run(task.unwrap());
    });
    let [authentication, root, permit] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!(
        (&*authentication.name, &*root.name, &*permit.name),
        ("authentication", "service/Method", "permit")
    );
    assert_eq!(root.parent_span_id, SpanId::from_hex(PARENT).unwrap());
    for span in &spans {
        assert_eq!(span.span_context.trace_id().to_string(), TRACE);
    }
    for step in [authentication, permit] {
        assert_eq!(step.parent_span_id, root.span_context.span_id());
    }
    assert_eq!(authentication.status, Status::error(""));
    assert_eq!(root.status, Status::Unset);
    assert!(root.attributes.contains(&KeyValue::new("logkey.tenant", "payments")));
}

fn step_named(name: &'static str) -> Span {
    let span = step(name);
    assert!(!span.is_disabled(), "{name}");
    span
}

#[test]
fn a_trace_that_is_not_sampled_has_no_steps_and_is_passed_on() {
    let spans = recorded(1.0, || {
        let root = Root::request("service/Method", Some(&parent("00")));
        assert!(root.sampled_trace().is_none());
        let sent = run(root.record(async {
            assert!(step("permit").is_disabled());
            annotate(|| -> [KeyValue; 0] { panic!("no attribute is needed") });
            sent_headers()
        }));
        let traceparent = sent["traceparent"].to_str().unwrap();
        assert!(traceparent.starts_with(&format!("00-{TRACE}-")) && traceparent.ends_with("-00"));
        assert_eq!(sent["tracestate"], "vendor=kept");
    });
    assert!(spans.is_empty(), "{spans:#?}");
}

#[test]
fn at_a_ratio_of_zero_only_a_callers_trace_is_recorded() {
    let spans = recorded(0.0, || {
        run(Root::background("bulk item").record(async { assert!(step("permit").is_disabled()) }));
        run(Root::request("service/Method", None).record(async { assert!(step("quota").is_disabled()) }));
    });
    assert!(spans.is_empty(), "{spans:#?}");
}

#[test]
fn spans_of_other_targets_are_not_recorded() {
    let spans = recorded(1.0, || {
        let work = async {
            tracing::info_span!("location")
                .in_scope(|| step_named("permit").in_scope(|| tracing::error!("an event")));
        };
        run(Root::background("bulk item").record(work));
    });
    let [permit, root] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!((&*permit.name, &*root.name), ("permit", "bulk item"));
    assert_eq!(permit.parent_span_id, root.span_context.span_id());
    assert!(permit.events.is_empty() && permit.attributes.is_empty(), "{permit:#?}");
}

#[test]
fn outside_a_trace_nothing_is_sent_to_other_services() {
    let seen = Arc::new(parking_lot::Mutex::new(None));
    recorded(1.0, || *seen.lock() = Some(sent_headers()));
    assert_eq!(seen.lock().take(), Some(HeaderMap::new()));
}
