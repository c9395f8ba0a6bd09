//! Writes log lines on a thread. Standard error can be a pipe that nobody reads: a call must not wait for it.

use std::io::Write;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// The maximum number of lines that wait for standard error. Further lines are lost and counted.
const MAX_WAITING_LINES: usize = 4_096;

/// The thread that writes. When this is dropped, it writes the lines that wait, for at most a second.
#[derive(Debug)]
pub struct LogWriter {
    lost: ErrorCounter,
    _thread: WorkerGuard,
}

// === impl LogWriter ===

impl LogWriter {
    /// Starts the thread that writes to `output`.
    pub(super) fn start(output: impl Write + Send + 'static) -> (NonBlocking, Self) {
        let (writer, thread) = NonBlockingBuilder::default()
            .buffered_lines_limit(MAX_WAITING_LINES)
            .lossy(true)
            .thread_name("log")
            .finish(output);
        let lost = writer.error_counter();
        (writer, Self { lost, _thread: thread })
    }

    /// Counts the lines that were lost.
    pub(super) fn lost_lines(&self) -> ErrorCounter {
        self.lost.clone()
    }
}
