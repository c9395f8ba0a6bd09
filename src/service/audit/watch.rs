//! Follows the log for one stream. A task reads on whenever the tree grows, and sends one batch at a time. It
//! authorizes the caller again for each batch. It waits for a slow client and buffers only one batch.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use futures_util::Stream;
use parking_lot::Mutex;
use tokio::{
    sync::mpsc::{self, Sender},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    archived::Searched,
    error::ReadError,
    query::{AuditQueries, SCAN_WINDOW, authorize, fitting_count, restrict},
};
use crate::{
    domain::{error_chain::error_chain, plural::plural},
    ports::{EventFilter, StoredEvent, limit::DropGuard},
    service::{
        context::Context,
        error::{AccessError, Error, RequestError},
    },
};

/// The maximum number of events in one batch.
const BATCH: u32 = 256;
/// How often the stream checks what a new call would check, also without events.
const RECHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The longest time without a batch. Then an empty batch reports the position.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The longest time that a stream stays open, even if the token is valid for longer.
const MAX_AGE: Duration = Duration::from_hours(24 * 30);
/// The longest time that a client may take to read the next batch.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A batch of events, and the position up to which the stream is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBatch {
    /// The events, oldest first.
    pub events: Vec<StoredEvent>,
    /// The position in the log up to which all matching events were sent.
    pub position: u64,
}

/// The batches of one stream. The last item is the error with which it ended, if its client did not
/// disconnect.
#[derive(Debug)]
pub struct EventStream {
    batches: mpsc::Receiver<EventBatch>,
    end: Arc<Mutex<Option<Error>>>,
}

/// The task of one stream.
struct Tailer {
    reads: AuditQueries,
    cx: Context,
    requested_filter: EventFilter,
    /// The filter, restricted to what the caller may see. `None` if no event can match.
    filter: Option<EventFilter>,
    position: u64,
    batches: Sender<EventBatch>,
    end: Arc<Mutex<Option<Error>>>,
    stopping: CancellationToken,
    expires: Instant,
    last_batch: Instant,
    /// When the caller was last authorized without a batch.
    checked: Instant,
    sent: u64,
    _permit: DropGuard,
}

/// Why a stream ended.
#[derive(Debug)]
enum StreamEnd {
    /// The client disconnected.
    Disconnected,
    /// The stream ended with an error.
    Failed(Error),
}

impl AuditQueries {
    /// Follows the log after a position, or from its current end. The stream ends when the token expires or
    /// the service stops.
    ///
    /// # Errors
    ///
    /// [`Error`], if the stream is not opened.
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
        // A shutdown waits for the task, so that the end of the stream is recorded.
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
        let end = self.head(cx).await?;
        if let Some(after) = after.filter(|after| *after <= end) {
            self.check_readable(cx, after).await?;
        }
        let position = match after {
            Some(after) if after > end => {
                let problem = format!("is beyond the end of the log: use at most {end}");
                return Err(Error::Request(RequestError::Invalid { field: "after_position", problem }));
            }
            Some(after) => after,
            None => end,
        };
        let (sender, batches) = mpsc::channel(1);
        let end = Arc::default();
        let lifetime = cx.caller.expires.since(cx.ports().clock.now());
        let tailer = Tailer {
            reads: self.clone(),
            cx: cx.clone(),
            filter: restrict(&access, filter.clone()),
            requested_filter: filter,
            position,
            batches: sender,
            end: Arc::clone(&end),
            stopping,
            expires: Instant::now() + lifetime.min(MAX_AGE),
            last_batch: Instant::now(),
            checked: Instant::now(),
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
            StreamEnd::Disconnected => "the client disconnected".to_owned(),
            StreamEnd::Failed(error) => error_chain(error),
        };
        let detail = format!(
            "a stream ended: {reason}; {} up to position {}",
            plural(self.sent, "event"),
            self.position
        );
        self.cx.audit.record_read_with(self.cx.ports(), detail);
        if let StreamEnd::Failed(error) = stream_end {
            *self.end.lock() = Some(error);
        }
    }

    async fn tail(&mut self) -> StreamEnd {
        loop {
            let heartbeat_due = self.last_batch + HEARTBEAT;
            let recheck_due = self.checked + RECHECK_INTERVAL;
            let grown = tokio::select! {
                biased;
                stream_end = wait_for_end(&self.batches, &self.stopping, self.expires) => return stream_end,
                () = time::sleep_until(recheck_due) => {
                    if let Err(error) = self.reauthorize().await {
                        return StreamEnd::Failed(error);
                    }
                    self.checked = Instant::now();
                    continue;
                }
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

    /// Sends all matching events up to this size of the log.
    async fn catch_up(&mut self, size: u64) -> Result<(), StreamEnd> {
        while self.position < size {
            let through = size.min(self.position.saturating_add(SCAN_WINDOW));
            let Searched { mut events, position } = match &self.filter {
                None => Searched { events: Vec::new(), position: through },
                Some(filter) => {
                    let range = self.position..=through;
                    let searched = self.reads.search_on(&self.cx, filter, range, BATCH).await;
                    searched.map_err(StreamEnd::Failed)?
                }
            };
            let count = fitting_count(&events).min(events.len());
            let is_cut = count < events.len();
            events.truncate(count);
            self.position = events.last().filter(|_| is_cut).map_or(position, |last| last.seq);
            if !events.is_empty() || self.last_batch.elapsed() >= HEARTBEAT {
                self.emit(events).await?;
            }
        }
        Ok(())
    }

    /// Sends one batch when the client is ready for it, if the caller may still see it.
    async fn emit(&mut self, events: Vec<StoredEvent>) -> Result<(), StreamEnd> {
        let count = events.len() as u64;
        let batch = EventBatch { events, position: self.position };
        tokio::select! {
            biased;
            stream_end = wait_for_end(&self.batches, &self.stopping, self.expires) => return Err(stream_end),
            reserved = time::timeout(TIMEOUT, self.batches.reserve()) => match reserved {
            Ok(Ok(slot)) => {
                    self.reauthorize().await.map_err(StreamEnd::Failed)?;
                    slot.send(batch);
                }
                Ok(Err(_closed)) => return Err(StreamEnd::Disconnected),
                Err(_elapsed) => return Err(StreamEnd::Failed(ReadError::StreamNotRead.into())),
            },
        }
        self.sent += count;
        self.last_batch = Instant::now();
        Ok(())
    }

    /// Fails unless the caller may still see all that it could see when the stream was opened. The batch was
    /// read with that filter and is not filtered again.
    async fn reauthorize(&self) -> Result<(), Error> {
        if self.cx.caller.expires <= self.cx.ports().clock.now() {
            return Err(ReadError::TokenExpired.into());
        }
        let access = authorize(&mut self.cx.reverified().await?)?;
        if restrict(&access, self.requested_filter.clone()) == self.filter {
            Ok(())
        } else {
            Err(Error::Access(AccessError::NotAllowed { policies: Vec::new() }))
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
        () = batches.closed() => StreamEnd::Disconnected,
        () = stopping.cancelled() => StreamEnd::Failed(ReadError::ShuttingDown.into()),
        () = time::sleep_until(expires) => StreamEnd::Failed(ReadError::TokenExpired.into()),
    }
}

// === impl EventStream ===

impl Stream for EventStream {
    type Item = Result<EventBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        let batch = std::task::ready!(self.batches.poll_recv(cx));
        let end = || self.end.lock().take();
        Poll::Ready(batch.map(Ok).or_else(|| end().map(Err)))
    }
}

#[cfg(test)]
mod tests;
