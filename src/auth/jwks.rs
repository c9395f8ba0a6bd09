//! An issuer's current keys. Readers never wait; one background task fetches the keys and replaces them
//! atomically. A flood of unknown key ids causes one fetch per cool-down, which starts when an attempt starts
//! and does not depend on its result. While the issuer is down, its known keys stay valid for a limited
//! time.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use rand::Rng;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{config::Refresh, fetch::FetchError, keys::KeySet};

/// The largest number of callers that wait for one fetch. Further callers use the current keys.
const MAX_WAITERS: usize = 256;

/// A source of a key set.
#[async_trait]
pub(super) trait FetchKeys: Send + Sync + 'static {
    /// The bytes of the key set, not parsed.
    async fn fetch(&self) -> Result<Vec<u8>, FetchError>;
}

/// One issuer's keys, and the task that refreshes them. The task ends when the last owner drops this.
#[derive(Debug)]
pub(super) struct Jwks {
    refresh: Refresh,
    state: Arc<ArcSwap<KeySetState>>,
    refresh_requested: Arc<Notify>,
    attempts: watch::Receiver<RetryState>,
    waiting: Semaphore,
    _task: AbortOnDropHandle<()>,
}

/// An issuer's keys and the result of the last attempt to fetch them.
#[derive(Clone, Debug)]
pub(super) struct KeySetState {
    /// The last fetched keys; none before the first success.
    pub(super) keys: Option<FetchedKeys>,
    /// Why the last attempt failed; none if it succeeded.
    pub(super) failure: Option<Arc<FetchError>>,
}

/// Fetched keys with the time of the fetch.
#[derive(Clone, Debug)]
pub(super) struct FetchedKeys {
    /// The key set.
    pub(super) keys: Arc<KeySet>,
    /// When the last successful attempt started.
    pub(super) at: Instant,
    /// The SHA-256 of the bytes.
    digest: [u8; 32],
}

#[derive(Clone, Copy, Debug, Default)]
struct RetryState {
    started: Option<Instant>,
    in_flight: bool,
    completed: u64,
}

/// The background task of one issuer.
struct RefreshTask<S> {
    issuer: Box<str>,
    source: S,
    refresh: Refresh,
    state: Arc<ArcSwap<KeySetState>>,
    refresh_requested: Arc<Notify>,
    attempts: watch::Sender<RetryState>,
}

// === impl Jwks ===

impl Jwks {
    /// Starts the first fetch without waiting for it. Requires a Tokio runtime.
    pub(super) fn start(issuer: &str, refresh: Refresh, source: impl FetchKeys) -> Self {
        for outcome in ["ok", "failed"] {
            let issuer = issuer.to_owned();
            metrics::counter!("logkey_jwks_fetches_total", "issuer" => issuer, "outcome" => outcome)
                .increment(0);
        }
        let empty = KeySetState { keys: None, failure: Some(Arc::new(FetchError::NotYet)) };
        let state = Arc::new(ArcSwap::from_pointee(empty));
        let refresh_requested = Arc::new(Notify::new());
        let (attempts, attempts_receiver) = watch::channel(RetryState::default());
        let refresh_task = RefreshTask {
            issuer: issuer.into(),
            source,
            refresh,
            state: Arc::clone(&state),
            refresh_requested: Arc::clone(&refresh_requested),
            attempts,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(refresh_task.run()));
        Self {
            refresh,
            state,
            refresh_requested,
            attempts: attempts_receiver,
            waiting: Semaphore::new(MAX_WAITERS),
            _task: task,
        }
    }

    /// The keys if they are not older than `max_staleness`, otherwise why they could not be fetched.
    pub(super) fn current(&self) -> Result<Arc<KeySet>, Arc<FetchError>> {
        let state = self.state.load();
        match &state.keys {
            Some(fetched) if fetched.at.elapsed() <= self.refresh.max_staleness => {
                Ok(Arc::clone(&fetched.keys))
            }
            Some(_) | None => Err(self.failure().unwrap_or_else(|| Arc::new(FetchError::NotYet))),
        }
    }

    /// Whether the key set of this generation is still current and not too old.
    pub(super) fn is_generation(&self, generation: u64) -> bool {
        self.state.load().keys.as_ref().is_some_and(|fetched| {
            fetched.keys.generation == generation && fetched.at.elapsed() <= self.refresh.max_staleness
        })
    }

    /// Why the last attempt failed; none if it succeeded.
    pub(super) fn failure(&self) -> Option<Arc<FetchError>> {
        self.state.load().failure.clone()
    }

    /// Waits for a fetch if one is in progress or may start now. Returns whether a fetch ended.
    pub(super) async fn refresh(&self) -> bool {
        let mut attempts = self.attempts.clone();
        let before = *attempts.borrow();
        let due = before.started.is_none_or(|at| at.elapsed() >= self.refresh.cool_down);
        let Ok(_permit) = self.waiting.try_acquire() else { return false };
        if !before.in_flight && !due {
            return false;
        }
        self.refresh_requested.notify_one();
        attempts.wait_for(|now| now.completed != before.completed).await.is_ok()
    }

    /// The time since the current keys were fetched. `None` before the first success.
    pub(super) fn age(&self) -> Option<Duration> {
        self.state.load().keys.as_ref().map(|fetched| fetched.at.elapsed())
    }

    /// The time until the next fetch may start.
    pub(super) fn next_attempt(&self) -> Duration {
        let started = self.attempts.borrow().started;
        started.map_or(Duration::ZERO, |at| self.refresh.cool_down.saturating_sub(at.elapsed()))
    }
}

// === impl RefreshTask ===

impl<S: FetchKeys> RefreshTask<S> {
    async fn run(self) {
        loop {
            let started = Instant::now();
            self.attempts.send_modify(|now| {
                now.started = Some(started);
                now.in_flight = true;
            });
            let succeeded = self.attempt(started).await;
            self.attempts.send_modify(|now| {
                now.in_flight = false;
                now.completed = now.completed.wrapping_add(1);
            });
            let Refresh { every, cool_down, .. } = self.refresh;
            let pause = if succeeded { jittered(every).max(cool_down) } else { cool_down };
            self.sleep_until_due(started + pause, started + cool_down).await;
        }
    }

    /// Sleeps until `due`, or until a caller requests a refresh after `earliest`.
    async fn sleep_until_due(&self, due: Instant, earliest: Instant) {
        loop {
            tokio::select! {
                () = sleep_until(due) => return,
                () = self.refresh_requested.notified() => if Instant::now() >= earliest { return },
            }
        }
    }

    async fn attempt(&self, started: Instant) -> bool {
        let limit = self.refresh.timeout;
        let fetched = match timeout(limit, self.source.fetch()).await {
            Ok(fetched) => fetched,
            Err(_elapsed) => Err(FetchError::TooSlow(limit)),
        };
        let issuer = &*self.issuer;
        let succeeded = match fetched.and_then(|body| self.read(&body, started)) {
            Ok(keys) => {
                let unusable =
                    u32::try_from(keys.keys.unusable.len() + keys.keys.ambiguous.len()).unwrap_or(u32::MAX);
                metrics::gauge!("logkey_jwks_unusable_keys", "issuer" => issuer.to_owned())
                    .set(f64::from(unusable));
                self.state.store(Arc::new(KeySetState { keys: Some(keys), failure: None }));
                true
            }
            Err(reason) => {
                let reason = Arc::new(reason);
                let error: &dyn std::error::Error = &*reason;
                tracing::warn!(auth.issuer = issuer, error, "the issuer's keys could not be fetched");
                let keys = self.state.load().keys.clone();
                self.state.store(Arc::new(KeySetState { keys, failure: Some(reason) }));
                false
            }
        };
        let outcome = if succeeded { "ok" } else { "failed" };
        metrics::counter!("logkey_jwks_fetches_total", "issuer" => issuer.to_owned(), "outcome" => outcome)
            .increment(1);
        succeeded
    }

    /// Parses the key set. Keeps the current one if the bytes are the same, so that cached tokens stay valid.
    fn read(&self, body: &[u8], at: Instant) -> Result<FetchedKeys, FetchError> {
        let mut new = [0; 32];
        new.copy_from_slice(digest(&SHA256, body).as_ref());
        if let Some(current) = self.state.load().keys.as_ref().filter(|current| current.digest == new) {
            return Ok(FetchedKeys { keys: Arc::clone(&current.keys), at, digest: new });
        }
        let keys = Arc::new(KeySet::decode(body)?);
        tracing::info!(auth.issuer = &*self.issuer, auth.keys = keys.len(), "the issuer's keys changed");
        for unusable in keys.unusable.iter().chain(&keys.ambiguous) {
            tracing::warn!(auth.issuer = &*self.issuer, auth.key = %unusable, "cannot use a key");
        }
        Ok(FetchedKeys { keys, at, digest: new })
    }
}

/// Shortens the interval by up to a tenth, so that replicas that started together do not fetch together.
fn jittered(every: Duration) -> Duration {
    every.mul_f64(rand::rng().random_range(0.9..=1.0))
}

impl<S> fmt::Debug for RefreshTask<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshTask").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
