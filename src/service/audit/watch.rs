//! Follows the log for one stream: a task that looks further whenever the tree has grown, and hands
//! over one batch at a time, each only while the caller may still see it. It waits for its client rather
//! than to gather what the client does not take.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{self, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::{
    sync::mpsc::{self, Sender},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    error::ReadError,
    query::{AuditQueries, SCAN_WINDOW, authorize, matching, restrict},
};
use crate::{
    domain::error_chain::error_chain,
    ports::{EventFilter, StoredEvent, limit::DropGuard},
    service::{context::Context, error::Error},
};

/// Most events of one batch.
const BATCH: u32 = 256;
/// The longest silence: then an empty batch says how far it got.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The longest that a stream is open, whatever the token says.
const MAX_AGE: Duration = Duration::from_hours(24 * 30);
/// How long a client may take nothing.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Events, in order, and up to where that is all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBatch {
    /// The events, oldest first.
    pub events: Vec<StoredEvent>,
    /// The place in the log up to which everything that fits was handed over.
    pub position: u64,
}

/// The batches of one stream; the last item says why it ended.
#[derive(Debug)]
pub struct EventStream {
    batches: mpsc::Receiver<EventBatch>,
    end: Arc<Mutex<Option<Error>>>,
}

/// The task behind one stream.
struct Tailer {
    reads: AuditQueries,
    cx: Context,
    requested_filter: EventFilter,
    /// What is left of that within what the caller may see; none where nothing can fit.
    filter: Option<EventFilter>,
    position: u64,
    batches: Sender<EventBatch>,
    end: Arc<Mutex<Option<Error>>>,
    stopping: CancellationToken,
    expires: Instant,
    last_batch: Instant,
    sent: u64,
    _permit: DropGuard,
}

/// Why a stream ended.
#[derive(Debug)]
enum StreamEnd {
    /// Its client went away.
    Left,
    /// For this.
    For(Error),
}

impl AuditQueries {
    /// Follows the log after a place, or from now on; until the token's time is over, or `stopping`.
    ///
    /// # Errors
    ///
    /// [`Error`], where the stream is not opened.
    pub async fn watch(
        &self,
        mut cx: Context,
        filter: EventFilter,
        after: Option<u64>,
        stopping: CancellationToken,
    ) -> Result<EventStream, Error> {
        let opened = self.open(&mut cx, filter, after, stopping).await;
        let (tailer, stream) = cx.record_error(opened)?;
        let detail = format!("a stream was opened after position {}", tailer.position);
        cx.audit.record_read_with(cx.ports(), detail);
        // A shutdown waits for it, so that its end is recorded.
        cx.ports().tasks.spawn(tailer.run().in_current_span());
        Ok(stream)
    }

    async fn open(
        &self,
        cx: &mut Context,
        filter: EventFilter,
        after: Option<u64>,
        stopping: CancellationToken,
    ) -> Result<(Tailer, EventStream), Error> {
        let access = authorize(cx)?;
        let permit = self.streams.try_acquire(&cx.caller.tenant)?;
        let end = self.head().await?;
        let position = match after {
            Some(after) if after > end => {
                let problem = format!("is beyond the end of the log: at most {end} is expected");
                return Err(Error::Invalid { field: "after_position", problem });
            }
            Some(after) => after,
            None => end,
        };
        let (sender, batches) = mpsc::channel(1);
        let end = Arc::default();
        let left = cx.caller.expires.since(cx.ports().clock.now());
        let tailer = Tailer {
            reads: self.clone(),
            cx: cx.clone(),
            filter: restrict(&access, filter.clone()),
            requested_filter: filter,
            position,
            batches: sender,
            end: Arc::clone(&end),
            stopping,
            expires: Instant::now() + left.min(MAX_AGE),
            last_batch: Instant::now(),
            sent: 0,
            _permit: permit,
        };
        Ok((tailer, EventStream { batches, end }))
    }
}

// === impl Tailer ===

impl Tailer {
    async fn run(mut self) {
        let stream_end = self.tail().await;
        let reason = match &stream_end {
            StreamEnd::Left => "its client left".to_owned(),
            StreamEnd::For(error) => error_chain(error),
        };
        let detail =
            format!("a stream ended: {reason}; {} events up to position {}", self.sent, self.position);
        self.cx.audit.record_read_with(self.cx.ports(), detail);
        if let StreamEnd::For(error) = stream_end {
            *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    async fn tail(&mut self) -> StreamEnd {
        loop {
            let heartbeat_due = self.last_batch + HEARTBEAT;
            let grown = tokio::select! {
                biased;
                stream_end = wait_for_end(&self.batches, &self.stopping, self.expires) => return stream_end,
                size = self.reads.ports.tree.wait_for_size(self.position) => Some(size),
                () = time::sleep_until(heartbeat_due) => None,
            };
            let done = match grown {
                Some(size) => self.catch_up(size).await,
                None => self.emit(Vec::new()).await,
            };
            if let Err(stream_end) = done {
                return stream_end;
            }
        }
    }

    /// Hands over what fits up to this place.
    async fn catch_up(&mut self, size: u64) -> Result<(), StreamEnd> {
        while self.position < size {
            let through = size.min(self.position.saturating_add(SCAN_WINDOW));
            let mut events = match &self.filter {
                None => Vec::new(),
                Some(filter) => {
                    let filter = EventFilter { after: Some(self.position), ..filter.clone() };
                    let next = self.reads.ports.log.next(&filter, through, BATCH);
                    self.reads.scan(next).await.map_err(StreamEnd::For)?
                }
            };
            let more = events.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX);
            let fits = matching(&events).min(events.len());
            let cut = fits < events.len();
            events.truncate(fits);
            self.position = match events.last() {
                Some(last) if more || cut => last.seq,
                Some(_) | None => through,
            };
            if !events.is_empty() || self.last_batch.elapsed() >= HEARTBEAT {
                self.emit(events).await?;
            }
        }
        Ok(())
    }

    /// Hands over one batch, when the client takes it and may still see it.
    async fn emit(&mut self, events: Vec<StoredEvent>) -> Result<(), StreamEnd> {
        let count = events.len() as u64;
        let batch = EventBatch { events, position: self.position };
        tokio::select! {
            biased;
            stream_end = wait_for_end(&self.batches, &self.stopping, self.expires) => return Err(stream_end),
            taken = time::timeout(TIMEOUT, self.batches.reserve()) => match taken {
                Ok(Ok(room)) => {
                    self.reauthorize().map_err(StreamEnd::For)?;
                    room.send(batch);
                }
                Ok(Err(_left)) => return Err(StreamEnd::Left),
                Err(_elapsed) => return Err(StreamEnd::For(ReadError::StreamNotRead.into())),
            },
        }
        self.sent += count;
        self.last_batch = Instant::now();
        Ok(())
    }

    /// Whether the caller may still see what it saw when the stream was opened: all of it, since what was
    /// read by then is not looked through again.
    fn reauthorize(&self) -> Result<(), Error> {
        if self.cx.caller.expires <= self.cx.ports().clock.now() {
            return Err(ReadError::TokenExpired.into());
        }
        let access = authorize(&mut self.cx.refreshed())?;
        if restrict(&access, self.requested_filter.clone()) == self.filter {
            Ok(())
        } else {
            Err(Error::NotAllowed { policies: Vec::new() })
        }
    }
}

/// Returns when the stream has to end.
async fn wait_for_end(
    batches: &Sender<EventBatch>,
    stopping: &CancellationToken,
    expires: Instant,
) -> StreamEnd {
    tokio::select! {
        () = batches.closed() => StreamEnd::Left,
        () = stopping.cancelled() => StreamEnd::For(ReadError::ShuttingDown.into()),
        () = time::sleep_until(expires) => StreamEnd::For(ReadError::TokenExpired.into()),
    }
}

// === impl Watched ===

impl Stream for EventStream {
    type Item = Result<EventBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        let batch = std::task::ready!(self.batches.poll_recv(cx));
        let end = || self.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        Poll::Ready(batch.map(Ok).or_else(|| end().map(Err)))
    }
}

#[cfg(test)]
mod tests;
