//! Standard output, one line an event. The service writes nothing else there: its own log goes to
//! standard error. A reader that is slow or gone makes this sink wait, and nothing else.

use std::io;

use async_trait::async_trait;

use super::writer_thread::{WriteLines, WriterThread};
use crate::ports::{Sink, SinkError, SinkRecord};

/// Writes to standard output, or to whatever stands for it.
#[derive(Debug)]
pub struct Stdout(WriterThread);

struct Stream<W> {
    to: W,
    /// Whether the last write broke off, perhaps within a line.
    torn: bool,
}

// === impl Stdout ===

impl Stdout {
    /// Over the process's own.
    ///
    /// # Errors
    ///
    /// Where there is no thread to be had.
    pub fn open() -> io::Result<Self> {
        Self::over(io::stdout())
    }

    /// Over another stream.
    ///
    /// # Errors
    ///
    /// Where there is no thread to be had.
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
