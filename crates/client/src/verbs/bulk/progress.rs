//! The progress of a job on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::job;
use crate::{
    output::OutputArgs,
    proto::{BulkAssociation, BulkState},
    verbs::shared::time,
};

const TEMPLATE: &str = "{wide_bar} {pos}/{len} {msg}";

/// A bar on standard error. Without a terminal it shows nothing.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new(output: &OutputArgs) -> Self {
        let target =
            if output.shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        // The template is a constant; without it the bar has its default form.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Self { bar }
    }

    pub(super) fn update(&self, job: &BulkAssociation) {
        let counts = job.counts.unwrap_or_default();
        self.bar.set_length(counts.total.into());
        if job.state() == BulkState::Planning {
            self.bar.set_message("planning");
            return;
        }
        self.bar.set_position(job::done(&counts).into());
        let end = time(job.expected_end_time.as_ref());
        let end = if end.is_empty() { String::new() } else { format!(", ends {end}") };
        let rate = self.bar.per_sec();
        self.bar.set_message(format!("{} failed, {rate:.1}/s{end}", counts.failed));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
