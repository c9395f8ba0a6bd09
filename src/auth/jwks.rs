//! An issuer's keys in use: read without waiting, fetched aside by one task, swapped whole.
//!
//! A flood of unknown key ids costs one fetch per cool-down, which counts from before each attempt,
//! whatever comes of it. While the issuer is down its known keys stay good, to a limit.

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

use super::{FetchError, KeySet, Refresh};

/// Most callers who wait for one fetch; the others are answered from what is known.
const MAX_WAITERS: usize = 256;

/// Has a key set somewhere.
#[async_trait]
pub(super) trait FetchKeys: Send + Sync + 'static {
    /// The whole set, not read yet.
    async fn fetch(&self) -> Result<Vec<u8>, FetchError>;
}

/// One issuer's keys, and the task that keeps them fresh. The task ends with the last owner.
#[derive(Debug)]
pub(super) struct Jwks {
    refresh: Refresh,
    key_set: Arc<ArcSwap<KeySetState>>,
    refresh_requested: Arc<Notify>,
    attempts: watch::Receiver<RetryState>,
    waiting: Semaphore,
    _task: AbortOnDropHandle<()>,
}

/// What is known of an issuer's keys at one time.
#[derive(Clone, Debug)]
pub(super) struct KeySetState {
    /// The keys, where they were ever had.
    pub(super) keys: Option<FetchedKeys>,
    /// Why the last attempt failed, if it did.
    pub(super) failure: Option<Arc<FetchError>>,
}

/// Keys, and when they were had.
#[derive(Clone, Debug)]
pub(super) struct FetchedKeys {
    /// The set.
    pub(super) keys: Arc<KeySet>,
    /// When it was asked for last.
    pub(super) at: Instant,
    digest: [u8; 32],
}

#[derive(Clone, Copy, Debug, Default)]
struct RetryState {
    started: Option<Instant>,
    in_flight: bool,
    completed: u64,
}

/// What the task has to itself.
struct RefreshTask<S> {
    issuer: Box<str>,
    source: S,
    refresh: Refresh,
    key_set: Arc<ArcSwap<KeySetState>>,
    refresh_requested: Arc<Notify>,
    attempts: watch::Sender<RetryState>,
}

// === impl Jwks ===

impl Jwks {
    /// Starts to fetch at once, and does not wait for it. Needs a runtime.
    pub(super) fn start(issuer: &str, refresh: Refresh, source: impl FetchKeys) -> Self {
        let nothing = KeySetState { keys: None, failure: Some(Arc::new(FetchError::NotYet)) };
        let key_set = Arc::new(ArcSwap::from_pointee(nothing));
        let refresh_requested = Arc::new(Notify::new());
        let (attempts, attempts_receiver) = watch::channel(RetryState::default());
        let refresh_task = RefreshTask {
            issuer: issuer.into(),
            source,
            refresh,
            key_set: Arc::clone(&key_set),
            refresh_requested: Arc::clone(&refresh_requested),
            attempts,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(refresh_task.run()));
        Self {
            refresh,
            key_set,
            refresh_requested,
            attempts: attempts_receiver,
            waiting: Semaphore::new(MAX_WAITERS),
            _task: task,
        }
    }

    /// The keys, if they are fresh enough to be relied on; otherwise why there are none.
    pub(super) fn current(&self) -> Result<Arc<KeySet>, Arc<FetchError>> {
        let key_set = self.key_set.load();
        match &key_set.keys {
            Some(fetched) if fetched.at.elapsed() <= self.refresh.max_staleness => {
                Ok(Arc::clone(&fetched.keys))
            }
            Some(_) | None => Err(self.failure().unwrap_or_else(|| Arc::new(FetchError::NotYet))),
        }
    }

    /// Whether these very keys are still in use and fresh.
    pub(super) fn is_generation(&self, generation: u64) -> bool {
        self.key_set.load().keys.as_ref().is_some_and(|fetched| {
            fetched.keys.generation == generation && fetched.at.elapsed() <= self.refresh.max_staleness
        })
    }

    /// Why the last attempt failed, if it did.
    pub(super) fn failure(&self) -> Option<Arc<FetchError>> {
        self.key_set.load().failure.clone()
    }

    /// Waits for a fetch if one is under way, or may be started now; tells whether one ended.
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

    /// How long until a fetch may be started.
    pub(super) fn next_attempt(&self) -> Duration {
        let started = self.attempts.borrow().started;
        started.map_or(Duration::ZERO, |at| self.refresh.cool_down.saturating_sub(at.elapsed()))
    }
}

// === impl Keeper ===

impl<S: FetchKeys> RefreshTask<S> {
    async fn run(self) {
        loop {
            let started = Instant::now();
            self.attempts.send_modify(|now| {
                now.started = Some(started);
                now.in_flight = true;
            });
            let good = self.attempt(started).await;
            self.attempts.send_modify(|now| {
                now.in_flight = false;
                now.completed = now.completed.wrapping_add(1);
            });
            let Refresh { every, cool_down, .. } = self.refresh;
            let pause = if good { jittered(every).max(cool_down) } else { cool_down };
            self.sleep_until_due(started + pause, started + cool_down).await;
        }
    }

    /// Until `due`, or until someone asks after `earliest`.
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
        let good = match fetched.and_then(|body| self.read(&body, started)) {
            Ok(keys) => {
                self.key_set.store(Arc::new(KeySetState { keys: Some(keys), failure: None }));
                true
            }
            Err(reason) => {
                let reason = Arc::new(reason);
                let error: &dyn std::error::Error = &*reason;
                tracing::warn!(auth.issuer = issuer, error, "keys could not be fetched");
                let keys = self.key_set.load().keys.clone();
                self.key_set.store(Arc::new(KeySetState { keys, failure: Some(reason) }));
                false
            }
        };
        let outcome = if good { "ok" } else { "failed" };
        metrics::counter!("logkey_jwks_fetches_total", "issuer" => issuer.to_owned(), "outcome" => outcome)
            .increment(1);
        good
    }

    /// The set in these bytes: the one in use where it is the same, so that tokens verified before are
    /// still remembered.
    fn read(&self, body: &[u8], at: Instant) -> Result<FetchedKeys, FetchError> {
        let mut new = [0; 32];
        new.copy_from_slice(digest(&SHA256, body).as_ref());
        if let Some(key_set) = self.key_set.load().keys.as_ref().filter(|key_set| key_set.digest == new) {
            return Ok(FetchedKeys { keys: Arc::clone(&key_set.keys), at, digest: new });
        }
        let keys = Arc::new(KeySet::decode(body)?);
        tracing::info!(auth.issuer = &*self.issuer, auth.keys = keys.len(), "keys of the issuer changed");
        for unusable in &keys.unusable {
            tracing::warn!(auth.issuer = &*self.issuer, auth.key = %unusable, "a key cannot be used");
        }
        Ok(FetchedKeys { keys, at, digest: new })
    }
}

/// A tenth less at most, so that replicas started together do not ask together.
fn jittered(every: Duration) -> Duration {
    every.mul_f64(rand::rng().random_range(0.9..=1.0))
}

impl<S> fmt::Debug for RefreshTask<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
