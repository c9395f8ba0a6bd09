//! Reports the state of a sink: one log line when it starts to fail, one when it works again, and gauges of
//! how far it is behind.

use std::time::Duration;

use tokio::time::Instant;

use crate::{audit::event, ports::sink::SinkError};

/// Whether a sink fails, for what cause, and since when.
#[derive(Debug)]
pub(super) struct State {
    name: Box<str>,
    failing: Option<(&'static str, Instant)>,
}

// === impl State ===

impl State {
    pub(super) fn new(name: Box<str>) -> Self {
        for cause in SinkError::CAUSES.into_iter().chain(["store"]) {
            let sink = name.to_string();
            metrics::counter!("logkey_audit_sink_failures_total", "sink" => sink, "cause" => cause)
                .increment(0);
        }
        Self { name, failing: None }
    }

    /// Records a failure. Logs it if the cause is new.
    pub(super) fn failed(&mut self, cause: &'static str, error: &str) {
        let sink = self.name.to_string();
        metrics::counter!("logkey_audit_sink_failures_total", "sink" => sink, "cause" => cause).increment(1);
        let since = self.failing.map_or_else(Instant::now, |(_, since)| since);
        if self.failing.is_none_or(|(previous_cause, _)| previous_cause != cause) {
            let error = &*event::sanitize(error, 500);
            tracing::error!(
                sink = &*self.name,
                cause,
                error,
                "an audit sink fails: its events wait in the store"
            );
        }
        self.failing = Some((cause, since));
    }

    /// Records a success. Logs it if the sink failed before.
    pub(super) fn on_success(&mut self) {
        if let Some((_, since)) = self.failing.take() {
            let failed_seconds = since.elapsed().as_secs_f64();
            tracing::info!(
                sink = &*self.name,
                failed_seconds,
                "the audit sink works again and continues where it stopped"
            );
        }
    }

    /// Sets the gauges: how many events the sink has not received, and the age of the oldest of them.
    pub(super) fn lag(&self, events: u64, by: Duration) {
        let sink = || self.name.to_string();
        let events = f64::from(u32::try_from(events).unwrap_or(u32::MAX));
        metrics::gauge!("logkey_audit_sink_waiting", "sink" => sink()).set(events);
        metrics::gauge!("logkey_audit_sink_lag_seconds", "sink" => sink()).set(by.as_secs_f64());
    }
}
