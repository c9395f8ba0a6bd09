//! Sets up the log lines, metrics and spans of this process, once.

mod json_lines;
mod log_writer;
mod metrics;
mod recorder;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use thiserror::Error;
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _,
};

use self::json_lines::{JsonLines, JsonMembers};
pub use self::{
    log_writer::LogWriter,
    metrics::{METRICS, Metric, MetricKind},
    recorder::{CurrentLabels, Recorder},
};
use crate::{
    config::{LogFormat, Telemetry},
    otlp::Exporter,
    spans,
};

/// The upper bounds of the buckets of every latency histogram, in seconds.
const LATENCIES: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0];

/// The log lines and metrics of this process.
#[derive(Debug)]
pub struct ProcessTelemetry {
    /// Renders the metrics.
    pub metrics: Recorder,
    /// Writes the last lines when it is dropped. Keep it until the process ends.
    pub log: LogWriter,
}

/// Why telemetry cannot be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// This process already has a metrics recorder.
    #[error("the process already has a metrics recorder")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
    /// This process already has a log subscriber.
    #[error("the process already has a log subscriber")]
    Log(#[source] tracing_subscriber::util::TryInitError),
}

/// Sends log lines to standard error, records metrics, and gives spans to the exporter, if there is one.
///
/// # Errors
///
/// [`TelemetryError`] if this process already did so.
pub fn init(settings: &Telemetry, traces: Option<&Exporter>) -> Result<ProcessTelemetry, TelemetryError> {
    let (writer, log) = LogWriter::start(io::stderr());
    log_lines(settings, writer, traces)?;
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &LATENCIES)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(TelemetryError::Metrics)?;
    metrics::register(settings.tenant_label);
    let metrics = Recorder::new(handle, log.lost_lines());
    Ok(ProcessTelemetry { metrics, log })
}

fn log_lines(
    settings: &Telemetry,
    writer: NonBlocking,
    traces: Option<&Exporter>,
) -> Result<(), TelemetryError> {
    let human = match settings.log_format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if human {
        let colour = io::stderr().is_terminal() && colour_enabled();
        fmt::layer().with_writer(writer).with_ansi(colour).boxed()
    } else {
        fmt::layer().fmt_fields(JsonMembers).event_format(JsonLines).with_writer(writer).boxed()
    };
    let filter = log_filter(&settings.log_level);
    let result = match traces {
        None => registry().with(lines).with(filter).try_init(),
        Some(exporter) => registry().with(lines.with_filter(filter)).with(exporter.layer()).try_init(),
    };
    result.map_err(TelemetryError::Log)
}

/// Which log lines are written. The spans of traces are not for them.
fn log_filter(level: &str) -> EnvFilter {
    // The filter is valid: `config` checked it.
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_checked| EnvFilter::new("info"));
    match spans::LOG_DIRECTIVE.parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_constant) => filter,
    }
}

/// Whether `NO_COLOR` and `CLICOLOR` allow colours.
fn colour_enabled() -> bool {
    !matches!(anstream::AutoStream::choice(&io::stderr()), anstream::ColorChoice::Never)
}
