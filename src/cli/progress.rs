//! Shows on a terminal how far a command is that takes longer than a second.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long a command may take without showing its progress.
const QUIET_TIME: Duration = Duration::from_secs(1);
/// The position, the rate and the time that remains.
const TEMPLATE: &str = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}";

/// The progress of a command, on standard error. It shows nothing if that is not a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
}

// === impl Progress ===

impl Progress {
    /// The progress of a task with this name and this many parts.
    pub(super) fn new(name: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()).with_message(name);
        // The template is valid; with the default one, the bar only looks different.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now() }
    }

    /// Says how many parts are done.
    pub(super) fn set(&self, done: u64) {
        if self.bar.is_hidden() && self.started.elapsed() >= QUIET_TIME {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
