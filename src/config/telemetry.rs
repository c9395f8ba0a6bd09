//! `[telemetry]`: the log lines, metrics and traces of the service.

use tracing_subscriber::EnvFilter;

use super::{env::Env, otlp, section::Section, tree::Node, value, value::ValueError};

/// Default of `telemetry.log_level`.
const LEVEL: &str = "info";

/// The settings of the log lines, metrics and traces.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// The format of log lines.
    pub log_format: LogFormat,
    /// A filter in the syntax of `tracing_subscriber::EnvFilter`: `info`, or `info,logkey=debug`.
    pub log_level: Box<str>,
    /// Whether `logkey_requests_total` has the tenant as a label.
    pub tenant_label: bool,
    /// Where traces are exported to; `None` exports none.
    pub otlp: Option<crate::otlp::Config>,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `Human` if standard error is a terminal, and otherwise `Json`.
    Auto,
    /// One JSON object on each line.
    Json,
    /// Text for people.
    Human,
}

/// Reads `[telemetry]`.
pub(super) fn read(section: &Section<'_>, env: &dyn Env) -> Telemetry {
    let words = [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("human", LogFormat::Human)];
    Telemetry {
        log_format: section.or_default("log_format", LogFormat::Auto, value::one_of(&words)),
        log_level: section.or_default("log_level", LEVEL.into(), filter),
        tenant_label: section.or_default("tenant_label", false, value::boolean),
        otlp: otlp::read(section, env),
    }
}

fn filter(node: &Node) -> Result<Box<str>, ValueError> {
    let text = value::text(node)?;
    match EnvFilter::try_new(&text) {
        Ok(_) => Ok(text.into()),
        Err(_repeats_the_text) => {
            Err("is not a log filter: write for example \"info\" or \"info,logkey=debug\"".to_owned())
        }
    }
}
