use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt as _, TraceState},
};

use super::*;

#[test]
fn without_an_exporter_no_span_of_a_trace_is_created() {
    let caller =
        SpanContext::new(TraceId::from(1), SpanId::from(1), TraceFlags::SAMPLED, true, TraceState::default());
    let _attached = Context::new().with_remote_span_context(caller).attach();
    assert!(spans::is_sampled());
    for level in ["info", "trace", "logkey=trace,info", "off"] {
        let subscriber = registry().with(fmt::layer().with_writer(io::sink)).with(log_filter(level));
        tracing::subscriber::with_default(subscriber, || {
            // No field of a disabled span is evaluated.
            assert!(spans::step("permit").is_disabled(), "{level}");
            assert!(spans::Root::background("bulk item").is_none(), "{level}");
            assert_eq!(tracing::error_span!("call").is_disabled(), level == "off", "{level}");
        });
    }
}
