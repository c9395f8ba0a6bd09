//! Writes on a thread of its own, so that a write that hangs holds up neither the runtime nor its end.

use std::{io, sync::mpsc, thread};

use tokio::sync::oneshot;

use crate::ports::{SinkError, SinkRecord};

/// Writes whole lines, on a thread where it may take its time.
pub(super) trait WriteLines: Send + 'static {
    /// Writes them; when this returns, they are as safe as the sink promises.
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()>;
}

/// The thread's desk. The thread ends when this is dropped and the last write is done.
#[derive(Debug)]
pub(super) struct WriterThread(mpsc::Sender<WriteJob>);

#[derive(Debug)]
struct WriteJob {
    lines: Vec<u8>,
    done: oneshot::Sender<io::Result<()>>,
}

// === impl Scribe ===

impl WriterThread {
    /// Starts the thread; its name is for people.
    pub(super) fn start(name: &str, mut writer: impl WriteLines) -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel::<WriteJob>();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Ok(WriteJob { lines, done }) = todo.recv() {
                // Whoever stopped waiting gives the same lines again.
                drop(done.send(writer.write_lines(&lines)));
            }
        })?;
        Ok(Self(jobs))
    }

    /// Has all lines written. There is one write at a time, since whoever gives waits.
    pub(super) async fn write(&self, lines: &[SinkRecord]) -> Result<usize, SinkError> {
        let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.text.len() + 1).sum());
        for line in lines {
            bytes.extend(line.text.as_bytes());
            bytes.push(b'\n');
        }
        let (done, receipt) = oneshot::channel();
        let gone = || SinkError::Failed("the thread that writes has ended".into());
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
