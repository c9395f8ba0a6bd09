//! Streams the progress of a job (`WatchBulkAssociation`). Each second it reads the job, authorizes the caller
//! again, and sends the job if it changed.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::view::JobView;
use crate::{
    domain::fleet::JobId,
    ports::limit::DropGuard,
    service::{
        audit::ReadError,
        context::Context,
        error::{Error, StorageError},
        fleet::ports::Fleet,
    },
};

/// The time between two reads of a job.
const INTERVAL: Duration = Duration::from_secs(1);
/// The longest time that a stream stays open, even if the token is valid for longer.
const MAX_AGE: Duration = Duration::from_hours(24 * 30);

/// The stream of one job. The last item is the error with which it ended, if its job did not end.
pub type JobStream = Pin<Box<dyn Stream<Item = Result<JobView, Error>> + Send>>;

/// The state of one stream.
struct Watch {
    fleet: Fleet,
    cx: Context,
    id: JobId,
    /// The job as it was sent last.
    sent: Option<JobView>,
    next: Instant,
    expires: Instant,
    stopping: CancellationToken,
    ended: bool,
    _permit: DropGuard,
}

impl Fleet {
    /// Follows a job until it ends.
    ///
    /// # Errors
    ///
    /// [`Error`], if the stream is not opened.
    pub async fn watch(
        &self,
        mut cx: Context,
        id: JobId,
        stopping: CancellationToken,
    ) -> Result<JobStream, Error> {
        let opened = self.open_watch(&mut cx, id).await;
        let (first, permit) = cx.record_read(opened)?;
        let lifetime = cx.caller.expires.since(cx.ports().clock.now());
        let watch = Watch {
            fleet: self.clone(),
            cx,
            id,
            ended: is_final(&first),
            sent: Some(first.clone()),
            next: Instant::now() + INTERVAL,
            expires: Instant::now() + lifetime.min(MAX_AGE),
            stopping,
            _permit: permit,
        };
        let rest = stream::unfold(watch, |mut watch| async move {
            let item = watch.next().await?;
            Some((item, watch))
        });
        Ok(Box::pin(stream::iter([Ok(first)]).chain(rest)))
    }

    async fn open_watch(&self, cx: &mut Context, id: JobId) -> Result<(JobView, DropGuard), Error> {
        let view = self.try_get(cx, id).await?;
        let permit = self.streams.try_acquire(&cx.caller.tenant)?;
        Ok((view, permit))
    }
}

// === impl Watch ===

impl Watch {
    /// The next change of the job. `None` after the job or the stream has ended.
    async fn next(&mut self) -> Option<Result<JobView, Error>> {
        loop {
            if self.ended {
                return None;
            }
            let error = tokio::select! {
                biased;
                () = self.stopping.cancelled() => Some(ReadError::ShuttingDown),
                () = time::sleep_until(self.expires) => Some(ReadError::TokenExpired),
                () = time::sleep_until(self.next) => None,
            };
            if let Some(error) = error {
                return Some(self.end(error.into()));
            }
            self.next = Instant::now() + INTERVAL;
            let mut cx = match self.cx.reverified().await {
                Ok(cx) => cx,
                Err(error) => return Some(self.end(error)),
            };
            let view = match self.fleet.try_get(&mut cx, self.id).await {
                Ok(view) => view,
                // The store may be back at the next read.
                Err(Error::Storage(StorageError::RecordUnavailable(_))) => continue,
                Err(error) => return Some(self.end(error)),
            };
            if self.sent.as_ref().is_some_and(|sent| is_same(sent, &view)) {
                continue;
            }
            self.ended = is_final(&view);
            self.sent = Some(view.clone());
            return Some(Ok(view));
        }
    }

    fn end(&mut self, error: Error) -> Result<JobView, Error> {
        self.ended = true;
        Err(error)
    }
}

/// Whether nothing follows: the job has ended and its last calls are recorded.
fn is_final(view: &JobView) -> bool {
    view.job.status.state.has_ended() && view.job.counts.running == 0
}

/// Whether nothing changed but the estimates.
fn is_same(sent: &JobView, view: &JobView) -> bool {
    let locations =
        |view: &JobView| -> Vec<_> { view.locations.iter().map(|it| it.location.clone()).collect() };
    sent.job == view.job && locations(sent) == locations(view)
}
