//! Shows on a terminal how far a command is that takes longer than a second.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use logkey_client::output::OutputArgs;
use parking_lot::Mutex;

/// How long a command may take without showing its progress.
const QUIET_TIME: Duration = Duration::from_secs(1);
/// The position, the rate and the time that remains.
const TEMPLATE: &str = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}";

/// The progress of a command.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    /// Where the bar appears when the command is no longer quick.
    target: Mutex<Option<ProgressDrawTarget>>,
}

// === impl Progress ===

impl Progress {
    /// The progress of a task with this name and this many parts, on standard error if the output is for people at a
    /// terminal.
    pub(super) fn new(name: &'static str, total: u64, output: &OutputArgs) -> Self {
        Self::on(output.shows_progress().then(ProgressDrawTarget::stderr), name, total)
    }

    fn on(target: Option<ProgressDrawTarget>, name: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()).with_message(name);
        // The template is valid; with the default one, the bar only looks different.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now(), target: Mutex::new(target) }
    }

    /// Says how many parts are done.
    pub(super) fn set(&self, done: u64) {
        if self.started.elapsed() >= QUIET_TIME
            && let Some(target) = self.target.lock().take()
        {
            self.bar.set_draw_target(target);
        }
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    /// The progress of a task on a terminal of this width, and the terminal.
    fn on_terminal(columns: u16) -> (Progress, InMemoryTerm) {
        let terminal = InMemoryTerm::new(5, columns);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        (Progress::on(Some(target), "verifying", 2_000), terminal)
    }

    #[test]
    fn a_quick_command_shows_nothing() {
        let (mut progress, terminal) = on_terminal(80);
        // Not yet begun, whatever the machine does meanwhile.
        progress.started = Instant::now() + QUIET_TIME * 3_600;
        progress.set(1_999);
        assert_eq!(terminal.contents(), "");
    }

    #[test]
    fn a_long_command_shows_how_far_it_is_and_clears_it_at_its_end() {
        for columns in [60, 80, 120] {
            let (mut progress, terminal) = on_terminal(columns);
            progress.started -= QUIET_TIME;
            progress.set(500);
            let shown = terminal.contents();
            assert!(shown.starts_with("verifying ") && shown.contains(" 500/2,000 "), "{columns}: {shown}");
            assert!(shown.chars().count() <= columns.into(), "{columns}: {shown}");
            drop(progress);
            assert_eq!(terminal.contents(), "", "{columns}");
        }
    }

    #[test]
    fn without_a_target_nothing_is_shown() {
        let mut progress = Progress::on(None, "verifying", 2_000);
        progress.started -= QUIET_TIME;
        progress.set(500);
        assert!(progress.bar.is_hidden());
    }
}
