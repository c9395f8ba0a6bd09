//! What replicas share, kept in Redis or Valkey: each decision is one script there, by its clock.
//!
//! A decision waits no longer than [`PATIENCE`] for its turn to ask, and as long for the answer. When one
//! failed, none is tried until the server gave a sign of life again; until then each replica goes on
//! alone with its share, or refuses, as configured.

mod address;
mod client;
mod quota;
#[cfg(test)]
mod tests;
mod token_lease;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use metrics::{counter, gauge, histogram};
use redis::{FromRedisValue, RedisError, Script};
use tokio::{
    task::AbortHandle,
    time::{Instant, interval, timeout},
};
use uuid::Uuid;

use self::{
    address::Address,
    client::{RedisConn, ScriptCall},
};
pub use self::{
    address::{InvalidRedisUrl, RedisUrl},
    quota::SharedQuota,
};
use crate::ports::limit::QuotaKey;

/// The longest a decision should wait for the server.
pub const TIMEOUT: Duration = Duration::from_millis(5);
/// How often a replica gives a sign of life.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long it counts.
const LIVENESS_TTL: Duration = Duration::from_secs(3);
/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(1);

const QUOTA: &str = include_str!("redis/quota.lua");
const CONCURRENCY_SCRIPT: &str = include_str!("redis/places.lua");
const SLOT: &str = include_str!("redis/slot.lua");
const REPLICAS: &str = include_str!("redis/replicas.lua");

/// What to do while the server does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBackendError {
    /// Go on with the quota divided by the replicas that were last seen.
    #[default]
    Share,
    /// Refuse.
    Refuse,
}

/// The way to the server that replicas share.
pub struct RedisBackend {
    address: Address,
    wire: ArcSwapOption<RedisConn>,
    on_error: OnBackendError,
    timeout: Duration,
    scripts: Scripts,
    /// This replica.
    name: String,
    up: AtomicBool,
    /// How often the server came back.
    returns: AtomicU64,
    replicas: AtomicU32,
    attempts: AtomicUsize,
    /// Decisions that the server was asked for.
    requests_sent: AtomicU64,
    pulse: std::sync::OnceLock<AbortHandle>,
}

struct Scripts {
    quota: Script,
    locations: Script,
    slot: Script,
    replicas: Script,
}

/// How it stands with the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Whether calls can be admitted as things are.
    pub serves: bool,
    /// For people.
    pub status: String,
}

/// Where a turn of a lane comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotReply {
    /// From the server: so long from now.
    In(Duration),
    /// From the server, and later than was wanted.
    PastDeadline,
    /// From this replica alone, which has this part of the quota: one in so many.
    UseLocal(u32),
    /// From nowhere.
    Unreachable,
}

// === impl Link ===

impl RedisBackend {
    /// Starts to connect, and does not wait for it. Needs a runtime.
    ///
    /// # Errors
    ///
    /// The URL cannot be used.
    pub fn start(
        url: &RedisUrl,
        on_error: OnBackendError,
        timeout: Duration,
    ) -> Result<Arc<Self>, InvalidRedisUrl> {
        let link = Arc::new(Self {
            address: url.address()?,
            wire: ArcSwapOption::empty(),
            on_error,
            timeout,
            scripts: Scripts {
                quota: Script::new(QUOTA),
                locations: Script::new(CONCURRENCY_SCRIPT),
                slot: Script::new(SLOT),
                replicas: Script::new(REPLICAS),
            },
            name: Uuid::new_v4().to_string(),
            up: AtomicBool::new(false),
            returns: AtomicU64::new(0),
            replicas: AtomicU32::new(1),
            attempts: AtomicUsize::new(0),
            requests_sent: AtomicU64::new(0),
            pulse: std::sync::OnceLock::new(),
        });
        let weak = Arc::downgrade(&link);
        let pulse = tokio::spawn(async move {
            let mut beats = interval(HEARTBEAT);
            loop {
                beats.tick().await;
                let Some(link) = weak.upgrade() else { return };
                link.heartbeat().await;
            }
        });
        drop(link.pulse.set(pulse.abort_handle()));
        Ok(link)
    }

    /// Whether the server answered last.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(SeqCst)
    }

    /// How many replicas lived when the server answered last, this one among them.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        self.replicas.load(SeqCst)
    }

    /// How many decisions the server was asked for.
    #[must_use]
    pub fn requests_sent(&self) -> u64 {
        self.requests_sent.load(SeqCst)
    }

    /// How it stands with the server, for whoever runs the service.
    #[must_use]
    pub fn state(&self) -> LinkState {
        let replicas = self.replicas();
        let (serves, status) = match (self.is_up(), self.on_error) {
            (true, _) => (true, format!("shared by {replicas} replicas, redis is up")),
            (false, OnBackendError::Share) => {
                (true, format!("redis is away: each of {replicas} replicas goes on with its share"))
            }
            (false, OnBackendError::Refuse) => {
                (false, "redis is away: calls are refused, as on_backend_error says".to_owned())
            }
        };
        LinkState { serves, status }
    }

    /// The next turn of a lane, taken if it comes within `most`.
    pub(super) async fn slot(&self, quota_key: &QuotaKey, spacing: Duration, max: Duration) -> SlotReply {
        let key = format!(
            "logkey:lane:{}:{}:{}",
            quota_key.location.account,
            quota_key.location.region,
            quota_key.operation.as_str()
        );
        let run = ScriptCall::new(&self.scripts.slot, SLOT, vec![key]).arg(micros(spacing)).arg(micros(max));
        match self.decide::<i64>(&run).await {
            Some(wait) => u64::try_from(wait)
                .map_or(SlotReply::PastDeadline, |wait| SlotReply::In(Duration::from_micros(wait))),
            None => match self.on_error {
                OnBackendError::Share => SlotReply::UseLocal(self.replicas()),
                OnBackendError::Refuse => SlotReply::Unreachable,
            },
        }
    }

    /// The answer, if it comes in time and the server is not known to be gone.
    async fn decide<T: FromRedisValue>(&self, run: &ScriptCall<'_>) -> Option<T> {
        if !self.is_up() {
            return None;
        }
        let wire = self.wire.load_full()?;
        let start = Instant::now();
        self.requests_sent.fetch_add(1, SeqCst);
        let answer = timeout(self.timeout, wire.eval(run)).await;
        histogram!("logkey_limit_backend_seconds").record(start.elapsed());
        match answer {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                self.mark_down(&error.to_string());
                None
            }
            Err(_elapsed) => {
                self.mark_down("no answer in time");
                None
            }
        }
    }

    async fn heartbeat(&self) {
        let sign = ScriptCall::new(&self.scripts.replicas, REPLICAS, vec!["logkey:replicas".to_owned()])
            .arg(&self.name)
            .arg(micros(LIVENESS_TTL));
        let mut answer = Err("not connected".to_owned());
        if let Some(wire) = self.wire.load_full() {
            answer = self.register_replica(&wire, &sign).await;
        }
        if let Err(reason) = &answer {
            // Of a connection that fails nothing is expected any more: a server may have moved.
            self.wire.store(None);
            if self.is_up() {
                self.mark_down(reason);
            }
            answer = match self.connected().await {
                Ok(wire) => self.register_replica(&wire, &sign).await,
                Err(reason) => Err(reason),
            };
        }
        match answer {
            Ok(replicas) => {
                self.replicas.store(replicas.max(1), SeqCst);
                if !self.up.swap(true, SeqCst) {
                    self.returns.fetch_add(1, SeqCst);
                    tracing::info!(replicas, "limits are shared through their server");
                }
            }
            Err(reason) => {
                self.wire.store(None);
                self.mark_down(&reason);
            }
        }
        gauge!("logkey_limit_backend_up").set(if self.is_up() { 1.0 } else { 0.0 });
        gauge!("logkey_limit_replicas").set(f64::from(self.replicas()));
    }

    async fn register_replica(&self, wire: &RedisConn, sign: &ScriptCall<'_>) -> Result<u32, String> {
        flatten_reply(timeout(self.answers_within(), wire.eval(sign)).await)
    }

    async fn connected(&self) -> Result<Arc<RedisConn>, String> {
        let attempt = self.attempts.fetch_add(1, SeqCst);
        let wire = flatten_reply(
            timeout(CONNECTING, RedisConn::connect(&self.address, attempt, self.answers_within())).await,
        )?;
        let wire = Arc::new(wire);
        self.wire.store(Some(Arc::clone(&wire)));
        Ok(wire)
    }

    /// How long any answer may take: at least as long as a decision waits for one.
    fn answers_within(&self) -> Duration {
        HEARTBEAT.max(self.timeout)
    }

    fn mark_down(&self, reason: &str) {
        counter!("logkey_limit_backend_errors_total").increment(1);
        if self.up.swap(false, SeqCst) {
            gauge!("logkey_limit_backend_up").set(0.0);
            tracing::warn!(%reason, replicas = self.replicas(), "limits are not shared: their server does not answer");
        }
    }
}

fn flatten_reply<T>(answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>) -> Result<T, String> {
    match answer {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_elapsed) => Err("no answer in time".to_owned()),
    }
}

impl Drop for RedisBackend {
    fn drop(&mut self) {
        if let Some(pulse) = self.pulse.get() {
            pulse.abort();
        }
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("up", &self.up).field("replicas", &self.replicas).finish_non_exhaustive()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
