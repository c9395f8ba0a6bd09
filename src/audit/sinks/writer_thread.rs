//! Writes on a separate thread, so that a write that hangs blocks neither the runtime nor its shutdown.

use std::{io, sync::mpsc, thread};

use tokio::sync::oneshot;

use crate::ports::{SinkError, SinkRecord};

/// Writes complete lines. It runs on a thread where it may block.
pub(super) trait WriteLines: Send + 'static {
    /// Writes the lines. When this returns, they are as durable as the sink promises.
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()>;
}

/// Sends jobs to the thread. The thread ends after the last write when this is dropped.
#[derive(Debug)]
pub(super) struct WriterThread(mpsc::Sender<WriteJob>);

#[derive(Debug)]
struct WriteJob {
    lines: Vec<u8>,
    done: oneshot::Sender<io::Result<()>>,
}

// === impl WriterThread ===

impl WriterThread {
    /// Starts the thread. The name appears in debuggers and process lists.
    pub(super) fn start(name: &str, mut writer: impl WriteLines) -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel::<WriteJob>();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Ok(WriteJob { lines, done }) = todo.recv() {
                // The send fails only if the caller stopped waiting. It sends the same lines again later.
                drop(done.send(writer.write_lines(&lines)));
            }
        })?;
        Ok(Self(jobs))
    }

    /// Writes all lines. There is one write at a time, because the caller waits for it.
    pub(super) async fn write(&self, lines: &[SinkRecord]) -> Result<usize, SinkError> {
        let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.text.len() + 1).sum());
        for line in lines {
            bytes.extend(line.text.as_bytes());
            bytes.push(b'\n');
        }
        let (done, receipt) = oneshot::channel();
        let gone = || SinkError::Failed("the writer thread has ended".into());
        self.0.send(WriteJob { lines: bytes, done }).map_err(|_ended| gone())?;
        match receipt.await {
            Ok(Ok(())) => Ok(lines.len()),
            Ok(Err(error)) => Err(classify_error(error)),
            Err(_ended) => Err(gone()),
        }
    }
}

fn classify_error(error: io::Error) -> SinkError {
    if error.kind() == io::ErrorKind::NotFound {
        SinkError::Missing(error.into())
    } else if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
        SinkError::Refused(error.into())
    } else {
        SinkError::Failed(error.into())
    }
}
