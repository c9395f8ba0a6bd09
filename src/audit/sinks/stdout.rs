//! A sink that writes one line for each event to standard output. The service writes nothing else there; its
//! own log goes to standard error. If the reader is slow or gone, only this sink waits.

use std::io;

use async_trait::async_trait;

use super::writer_thread::{WriteLines, WriterThread};
use crate::ports::{Sink, SinkError, SinkRecord};

/// Writes to standard output, or to another stream in its place.
#[derive(Debug)]
pub struct Stdout(WriterThread);

struct Stream<W> {
    to: W,
    /// Whether the last write failed, perhaps in the middle of a line.
    torn: bool,
}

// === impl Stdout ===

impl Stdout {
    /// Writes to the standard output of this process.
    ///
    /// # Errors
    ///
    /// The operating system cannot create a thread.
    pub fn open() -> io::Result<Self> {
        Self::over(io::stdout())
    }

    /// Writes to another stream.
    ///
    /// # Errors
    ///
    /// The operating system cannot create a thread.
    pub fn over(to: impl io::Write + Send + 'static) -> io::Result<Self> {
        WriterThread::start("audit-stdout", Stream { to, torn: false }).map(Self)
    }
}

#[async_trait]
impl Sink for Stdout {
    async fn write(&self, lines: &[SinkRecord]) -> Result<usize, SinkError> {
        self.0.write(lines).await
    }
}

impl<W: io::Write + Send + 'static> WriteLines for Stream<W> {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.to.write_all(b"\n")?;
        }
        self.torn = true;
        self.to.write_all(lines)?;
        self.to.flush()?;
        self.torn = false;
        Ok(())
    }
}
