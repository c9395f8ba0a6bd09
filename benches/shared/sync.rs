//! S: a file that is written and synced as a write-ahead log is, without a database.

use std::{
    fs::File,
    io::{self, Seek as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

/// What one commit of one record writes to the write-ahead log, roughly: five pages with their headers.
const COMMIT_BYTES: usize = 5 * 4120;
/// Bytes of the file, which is written over from its beginning again.
const FILE_BYTES: usize = 4 << 20;

/// Times one write and fdatasync after the other.
#[derive(Debug)]
pub(crate) struct Probe {
    file: File,
    at: usize,
}

// === impl Probe ===

impl Probe {
    /// A file in `folder`, which is to be on the disk that is meant.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        let mut file = File::create(folder.join("probe"))?;
        file.write_all(&vec![0; FILE_BYTES])?;
        file.sync_all()?;
        file.rewind()?;
        Ok(Self { file, at: 0 })
    }

    /// How long one takes.
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
