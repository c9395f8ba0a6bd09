//! Reads of a process beside the one that writes, such as `logkey audit verify`. Each statement reads a bounded
//! number of events. Between two of them, the reader waits while the write-ahead log is long, so that the writer
//! finds a moment without readers and can empty it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::wal::{self, MAX_WAL};

/// How long a reader waits for the writer.
const GIVE_WAY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it looks meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long it does not wait again after the writer did not use its chance. Perhaps there is none.
const NEXT_WAIT_AFTER: Duration = Duration::from_secs(20);

/// Makes a reader give way to the writer of another process.
#[derive(Debug)]
pub(super) struct GiveWay {
    wal: PathBuf,
    not_before: Mutex<Option<Instant>>,
}

// === impl GiveWay ===

impl GiveWay {
    pub(super) fn new(database: &Path) -> Self {
        Self { wal: wal::path(database), not_before: Mutex::default() }
    }

    /// Waits while the write-ahead log is long, but not for long.
    pub(super) async fn to_writer(&self) {
        if wal::length(&self.wal) < MAX_WAL || self.not_before.lock().is_some_and(|at| Instant::now() < at) {
            return;
        }
        let end = Instant::now() + GIVE_WAY_TIMEOUT;
        while wal::length(&self.wal) >= MAX_WAL {
            if Instant::now() >= end {
                *self.not_before.lock() = Some(Instant::now() + NEXT_WAIT_AFTER);
                return;
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}
