//! Follows the log for one stream: a task that looks further whenever the tree has grown, and hands
//! over one batch at a time, each only while the caller may still see it. It waits for its client rather
//! than to gather what the client does not take.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::{
    sync::mpsc::{self, Sender},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use super::{AuditReads, REACH, ReadError, fitting, within};
use crate::{
    domain::{call::Call, chain::chain, principal::Principal},
    ports::{EventFilter, StoredEvent, limit::Held},
    service::{Error, trail::Trail},
};

/// Most events of one batch.
const BATCH: u32 = 256;
/// The longest silence: then an empty batch says how far it got.
const WORD_EVERY: Duration = Duration::from_secs(30);
/// The longest that a stream is open, whatever the token says.
const LONGEST: Duration = Duration::from_hours(24 * 30);
/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_mins(1);

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
pub struct Watched {
    batches: mpsc::Receiver<EventBatch>,
    end: Arc<Mutex<Option<Error>>>,
}

/// The task behind one stream.
struct Follower {
    reads: AuditReads,
    call: Call,
    who: Principal,
    trail: Trail,
    asked: EventFilter,
    /// What is left of that within what the caller may see; none where nothing can fit.
    filter: Option<EventFilter>,
    position: u64,
    batches: Sender<EventBatch>,
    end: Arc<Mutex<Option<Error>>>,
    stopping: CancellationToken,
    expires: Instant,
    last_word: Instant,
    sent: u64,
    _place: Held,
}

/// Why a stream ended.
#[derive(Debug)]
enum Ended {
    /// Its client went away.
    Left,
    /// For this.
    For(Error),
}

impl AuditReads {
    /// Follows the log after a place, or from now on; until the token's time is over, or `stopping`.
    ///
    /// # Errors
    ///
    /// [`Error`], where the stream is not opened.
    pub async fn watch(
        &self,
        call: &Call,
        who: &Principal,
        asked: EventFilter,
        after: Option<u64>,
        stopping: CancellationToken,
    ) -> Result<Watched, Error> {
        let ports = &self.broker.ports;
        let mut trail = Trail::new(ports, call, who);
        let opened = self.opened(call, who, asked, after, stopping, &mut trail).await;
        match opened {
            Ok((follower, watched)) => {
                trail.read_with(ports, format!("a stream was opened after position {}", follower.position));
                // A stop waits for it, so that its end is recorded.
                ports.tasks.spawn(tracing::Instrument::in_current_span(follower.run()));
                Ok(watched)
            }
            Err(error) => {
                trail.refused(ports, &error);
                Err(error)
            }
        }
    }

    async fn opened(
        &self,
        call: &Call,
        who: &Principal,
        asked: EventFilter,
        after: Option<u64>,
        stopping: CancellationToken,
        trail: &mut Trail,
    ) -> Result<(Follower, Watched), Error> {
        let access = self.access(call, who, trail)?;
        let place = self.streams.take(&who.tenant)?;
        let end = self.end().await?;
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
        let left = who.expires.since(self.broker.ports.clock.now());
        let follower = Follower {
            reads: self.clone(),
            call: call.clone(),
            who: who.clone(),
            trail: trail.clone(),
            filter: within(&access, asked.clone()),
            asked,
            position,
            batches: sender,
            end: Arc::clone(&end),
            stopping,
            expires: Instant::now() + left.min(LONGEST),
            last_word: Instant::now(),
            sent: 0,
            _place: place,
        };
        Ok((follower, Watched { batches, end }))
    }
}

// === impl Follower ===

impl Follower {
    async fn run(mut self) {
        let ended = self.follow().await;
        let why = match &ended {
            Ended::Left => "its client left".to_owned(),
            Ended::For(error) => chain(error),
        };
        let told = format!("a stream ended: {why}; {} events up to position {}", self.sent, self.position);
        self.trail.read_with(&self.reads.broker.ports, told);
        if let Ended::For(error) = ended {
            *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    async fn follow(&mut self) -> Ended {
        loop {
            let word_due = self.last_word + WORD_EVERY;
            let grown = tokio::select! {
                biased;
                ended = ended(&self.batches, &self.stopping, self.expires) => return ended,
                size = self.reads.ports.tree.grown(self.position) => Some(size),
                () = time::sleep_until(word_due) => None,
            };
            let done = match grown {
                Some(size) => self.catch_up(size).await,
                None => self.say(Vec::new()).await,
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    /// Hands over what fits up to this place.
    async fn catch_up(&mut self, size: u64) -> Result<(), Ended> {
        while self.position < size {
            let through = size.min(self.position.saturating_add(REACH));
            let mut events = match &self.filter {
                None => Vec::new(),
                Some(filter) => {
                    let filter = EventFilter { after: Some(self.position), ..filter.clone() };
                    let next = self.reads.ports.log.next(&filter, through, BATCH);
                    self.reads.look(next).await.map_err(Ended::For)?
                }
            };
            let more = events.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX);
            let fits = fitting(&events).min(events.len());
            let cut = fits < events.len();
            events.truncate(fits);
            self.position = match events.last() {
                Some(last) if more || cut => last.seq,
                Some(_) | None => through,
            };
            if !events.is_empty() || self.last_word.elapsed() >= WORD_EVERY {
                self.say(events).await?;
            }
        }
        Ok(())
    }

    /// Hands over one batch, when the client takes it and may still see it.
    async fn say(&mut self, events: Vec<StoredEvent>) -> Result<(), Ended> {
        let count = events.len() as u64;
        let batch = EventBatch { events, position: self.position };
        tokio::select! {
            biased;
            ended = ended(&self.batches, &self.stopping, self.expires) => return Err(ended),
            taken = time::timeout(PATIENCE, self.batches.reserve()) => match taken {
                Ok(Ok(room)) => {
                    self.is_still_allowed().map_err(Ended::For)?;
                    room.send(batch);
                }
                Ok(Err(_left)) => return Err(Ended::Left),
                Err(_elapsed) => return Err(Ended::For(ReadError::StreamNotRead.into())),
            },
        }
        self.sent += count;
        self.last_word = Instant::now();
        Ok(())
    }

    /// Whether the caller may still see what it saw when the stream was opened: all of it, since what was
    /// read by then is not looked through again.
    fn is_still_allowed(&self) -> Result<(), Error> {
        if self.who.expires <= self.reads.broker.ports.clock.now() {
            return Err(ReadError::TokenExpired.into());
        }
        let access = self.reads.access(&self.call, &self.who, &mut self.trail.clone())?;
        if within(&access, self.asked.clone()) == self.filter {
            Ok(())
        } else {
            Err(Error::NotAllowed { policies: Vec::new() })
        }
    }
}

/// Returns when the stream has to end.
async fn ended(batches: &Sender<EventBatch>, stopping: &CancellationToken, expires: Instant) -> Ended {
    tokio::select! {
        () = batches.closed() => Ended::Left,
        () = stopping.cancelled() => Ended::For(ReadError::ShuttingDown.into()),
        () = time::sleep_until(expires) => Ended::For(ReadError::TokenExpired.into()),
    }
}

// === impl Watched ===

impl Stream for Watched {
    type Item = Result<EventBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let batch = std::task::ready!(self.batches.poll_recv(cx));
        let end = || self.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        Poll::Ready(batch.map(Ok).or_else(|| end().map(Err)))
    }
}

#[cfg(test)]
mod tests;
