//! Renders the metrics of this process.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use metrics::counter;
use metrics_exporter_prometheus::PrometheusHandle;
use tracing_appender::non_blocking::ErrorCounter;

/// The values that a label can have now, for a label whose values a reload can remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentLabels {
    /// The name of the label.
    pub label: &'static str,
    /// Its current values.
    pub values: BTreeSet<String>,
}

/// Finds the current values of such labels.
type FindLabels = dyn Fn() -> Vec<CurrentLabels> + Send + Sync;

/// Renders the metrics, without the series of what a reload removed.
#[derive(Clone)]
pub struct Recorder {
    handle: PrometheusHandle,
    lost_lines: ErrorCounter,
    reported_lines: Arc<AtomicUsize>,
    labels: Arc<OnceLock<Box<FindLabels>>>,
}

// === impl Recorder ===

impl Recorder {
    pub(super) fn new(handle: PrometheusHandle, lost_lines: ErrorCounter) -> Self {
        Self { handle, lost_lines, reported_lines: Arc::default(), labels: Arc::default() }
    }

    /// From now on, only series with these labels are rendered.
    pub(in crate::app) fn limit_labels(&self, find: impl Fn() -> Vec<CurrentLabels> + Send + Sync + 'static) {
        // A service starts once.
        drop(self.labels.set(Box::new(find)));
    }

    /// Moves latency samples into their histograms, and reports lost log lines.
    pub(in crate::app) fn run_upkeep(&self) {
        self.handle.run_upkeep();
        let lost = self.count_lost_lines();
        let before = self.reported_lines.swap(lost, Relaxed);
        if lost > before {
            tracing::warn!(lines = lost - before, "log lines were lost, because nobody reads standard error");
        }
    }

    /// The metrics in the Prometheus text format, with those of the process as they are now.
    pub(in crate::app) fn render(&self) -> String {
        metrics_process::Collector::default().collect();
        self.count_lost_lines();
        let text = self.handle.render();
        match self.labels.get() {
            Some(find) => without_removed(&text, &find()),
            None => text,
        }
    }

    fn count_lost_lines(&self) -> usize {
        let lost = self.lost_lines.dropped_lines();
        counter!("logkey_log_lines_lost_total").absolute(lost as u64);
        lost
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

/// The text without the series whose label has a value that is not current. The recorder itself cannot forget a
/// series.
fn without_removed(text: &str, labels: &[CurrentLabels]) -> String {
    let kept = text.lines().filter(|line| {
        labels
            .iter()
            .all(|current| value_of(line, current.label).is_none_or(|value| current.values.contains(value)))
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// The value of a label of a series, if it has the label. Issuers and accounts need no escapes.
fn value_of<'l>(line: &'l str, label: &str) -> Option<&'l str> {
    let value_from = |before: char| line.split_once(&format!("{before}{label}=\""));
    let (_before, rest) = value_from('{').or_else(|| value_from(','))?;
    rest.split_once('"').map(|(value, _rest)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_removed_issuers_and_accounts_vanish() {
        let text = "# HELP age Age.\n# TYPE age gauge\nage{issuer=\"https://a\"} 1\nage{issuer=\"https://b\"} 2\n\
                    rate{account=\"1\",region=\"r\"} 3\nrate{account=\"2\",region=\"r\"} 4\nplain 5\n";
        let current =
            |label, value: &str| CurrentLabels { label, values: BTreeSet::from([value.to_owned()]) };
        let kept = without_removed(text, &[current("issuer", "https://b"), current("account", "1")]);
        let series: Vec<&str> = kept.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(series, ["age{issuer=\"https://b\"} 2", "rate{account=\"1\",region=\"r\"} 3", "plain 5"]);
        assert_eq!(without_removed(text, &[]), text);
    }
}
