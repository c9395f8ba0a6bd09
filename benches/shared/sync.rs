//! S, the cost of one sync: writes and syncs a file like a write-ahead log, without a database.

use std::{
    fs::File,
    io::{self, Seek as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

/// About what one commit of one record writes to the write-ahead log: five pages with their headers.
const COMMIT_BYTES: usize = 5 * 4120;
/// The size of the file in bytes. At its end, writing starts again at the beginning.
const FILE_BYTES: usize = 4 << 20;

/// Times single writes, each with an fdatasync.
#[derive(Debug)]
pub(crate) struct Probe {
    file: File,
    at: usize,
}

// === impl Probe ===

impl Probe {
    /// Creates a file in `folder`, which must be on the disk to measure.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        let mut file = File::create(folder.join("probe"))?;
        file.write_all(&vec![0; FILE_BYTES])?;
        file.sync_all()?;
        file.rewind()?;
        Ok(Self { file, at: 0 })
    }

    /// How long one write with an fdatasync takes.
    pub(crate) fn sync(&mut self) -> io::Result<Duration> {
        if self.at + COMMIT_BYTES > FILE_BYTES {
            self.file.rewind()?;
            self.at = 0;
        }
        self.at += COMMIT_BYTES;
        let bytes = vec![7; COMMIT_BYTES];
        let started = Instant::now();
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        Ok(started.elapsed())
    }
}

/// The median and the 99th percentile.
pub(crate) fn percentiles(mut all: Vec<Duration>) -> (Duration, Duration) {
    all.sort_unstable();
    let at = |part: usize| all.get(all.len() * part / 100).copied().unwrap_or_default();
    (at(50), at(99))
}
