use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tracing::Instrument as _;
use tracing_subscriber::{
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
};

use super::{JsonLines, JsonMembers};

/// Collects what is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The lines that `log` writes, in our format and in that of tracing-subscriber, without their times.
fn both_formats(log: impl Fn()) -> [Vec<Value>; 2] {
    let (ours, theirs) = (Lines::default(), Lines::default());
    let our_layer = fmt::layer().fmt_fields(JsonMembers).event_format(JsonLines).with_writer(ours.clone());
    let their_layer =
        fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(theirs.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(our_layer).with(their_layer), log);
    [ours, theirs].map(|lines| {
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let without_time = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
            assert!(time.as_str().is_some_and(|time| time.ends_with('Z')), "{time}");
            line
        };
        text.lines().map(without_time).collect()
    })
}

#[test]
fn lines_are_those_of_tracing_subscriber() {
    let [ours, theirs] = both_formats(|| {
        let error = io::Error::other("the \"store\"\nfailed");
        tracing::warn!(error = &error as &dyn std::error::Error, count = 3_u64, "outside of a span");
        let trace = None::<u32>;
        let span = tracing::error_span!("call", rpc = %"Get\"Caller\"", request_id = ?Some("a\u{7}b"), trace);
        span.in_scope(|| {
            tracing::info!(latency_ms = 0.25, held = true, delta = -1, reason = trace, "call {}", "ended");
            tracing::info_span!("inner", step = 2).in_scope(|| tracing::info!("in the inner span"));
        });
        tracing::error!(parent: &span, "of a named span");
        drop(std::future::ready(()).instrument(span));
    });
    assert_eq!(ours.len(), 4, "{ours:?}");
    assert_eq!(ours, theirs);
}

#[test]
fn a_span_keeps_fields_that_are_recorded_later() {
    let [ours, theirs] = both_formats(|| {
        let span = tracing::error_span!("call", rpc = "GetCaller", tenant = tracing::field::Empty);
        span.record("tenant", "payments");
        span.in_scope(|| tracing::info!("call ended"));
    });
    assert_eq!(ours, theirs);
    assert_eq!(ours[0]["span"]["tenant"], "payments");
}
