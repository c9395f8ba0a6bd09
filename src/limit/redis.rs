//! What replicas share, kept in Redis or Valkey: each decision is one script there, by its clock.
//!
//! A decision waits no longer than [`PATIENCE`]. When one failed, none is tried until the server gave a
//! sign of life again; until then each replica goes on alone with its share, or refuses, as configured.

mod quota;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use metrics::{counter, gauge, histogram};
use redis::{
    Client, FromRedisValue, RedisError, Script, ScriptInvocation,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use thiserror::Error;
use tokio::{
    task::AbortHandle,
    time::{Instant, interval, timeout},
};
use uuid::Uuid;

pub use self::quota::SharedQuota;
use crate::ports::limit::Lane;

/// The longest a decision should wait for the server.
pub const PATIENCE: Duration = Duration::from_millis(10);
/// How often a replica gives a sign of life.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long it counts.
const LIVES: Duration = Duration::from_secs(3);

/// What to do while the server does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBackendError {
    /// Go on with the quota divided by the replicas that were last seen.
    #[default]
    Share,
    /// Refuse.
    Refuse,
}

/// Where the server is; may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

/// The text was not the URL of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "is no URL of a Redis or Valkey server: write for example \"redis://HOST:6379\", or \"rediss://…\" for TLS"
)]
pub struct InvalidRedisUrl;

/// The way to the server that replicas share.
pub struct Link {
    connection: ConnectionManager,
    on_error: OnBackendError,
    patience: Duration,
    scripts: Scripts,
    /// This replica.
    name: String,
    up: AtomicBool,
    /// How often the server came back.
    returns: AtomicU64,
    replicas: AtomicU32,
    pulse: std::sync::OnceLock<AbortHandle>,
}

struct Scripts {
    quota: Script,
    slot: Script,
    replicas: Script,
}

/// Where a turn of a lane comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// From the server: so long from now.
    In(Duration),
    /// From the server, and later than was wanted.
    TooLate,
    /// From this replica alone, which has this part of the quota: one in so many.
    Own(u32),
    /// From nowhere.
    None,
}

// === impl RedisUrl ===

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shaped = text.starts_with("redis://") || text.starts_with("rediss://");
        if shaped && Client::open(text).is_ok() { Ok(Self(text.to_owned())) } else { Err(InvalidRedisUrl) }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

// === impl Link ===

impl Link {
    /// Starts to connect, and does not wait for it. Needs a runtime.
    ///
    /// # Errors
    ///
    /// The URL cannot be used.
    pub fn start(
        url: &RedisUrl,
        on_error: OnBackendError,
        patience: Duration,
    ) -> Result<Arc<Self>, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(HEARTBEAT))
            .set_max_delay(HEARTBEAT);
        let link = Arc::new(Self {
            connection: ConnectionManager::new_lazy_with_config(Client::open(url.0.as_str())?, config)?,
            on_error,
            patience,
            scripts: Scripts {
                quota: Script::new(include_str!("redis/quota.lua")),
                slot: Script::new(include_str!("redis/slot.lua")),
                replicas: Script::new(include_str!("redis/replicas.lua")),
            },
            name: Uuid::new_v4().to_string(),
            up: AtomicBool::new(false),
            returns: AtomicU64::new(0),
            replicas: AtomicU32::new(1),
            pulse: std::sync::OnceLock::new(),
        });
        let weak = Arc::downgrade(&link);
        let pulse = tokio::spawn(async move {
            let mut beats = interval(HEARTBEAT);
            loop {
                beats.tick().await;
                let Some(link) = weak.upgrade() else { return };
                link.beat().await;
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

    /// The next turn of a lane, taken if it comes within `most`.
    pub(super) async fn slot(&self, lane: &Lane, spacing: Duration, most: Duration) -> Slot {
        let key =
            format!("logkey:lane:{}:{}:{}", lane.place.account, lane.place.region, lane.operation.as_str());
        let mut call = self.scripts.slot.key(key);
        call.arg(micros(spacing)).arg(micros(most));
        match self.decide::<i64>(&call).await {
            Some(wait) => {
                u64::try_from(wait).map_or(Slot::TooLate, |wait| Slot::In(Duration::from_micros(wait)))
            }
            None => match self.on_error {
                OnBackendError::Share => Slot::Own(self.replicas()),
                OnBackendError::Refuse => Slot::None,
            },
        }
    }

    /// The answer, if it comes in time and the server is not known to be gone.
    async fn decide<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Option<T> {
        if !self.is_up() {
            return None;
        }
        let start = Instant::now();
        let mut connection = self.connection.clone();
        let answer = timeout(self.patience, call.invoke_async(&mut connection)).await;
        histogram!("logkey_limit_backend_seconds").record(start.elapsed());
        match answer {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                self.lost(&error.to_string());
                None
            }
            Err(_elapsed) => {
                self.lost("no answer in time");
                None
            }
        }
    }

    async fn beat(&self) {
        let mut call = self.scripts.replicas.key("logkey:replicas");
        call.arg(&self.name).arg(micros(LIVES));
        let mut connection = self.connection.clone();
        match timeout(HEARTBEAT, call.invoke_async::<u32>(&mut connection)).await {
            Ok(Ok(replicas)) => {
                self.replicas.store(replicas.max(1), SeqCst);
                if !self.up.swap(true, SeqCst) {
                    self.returns.fetch_add(1, SeqCst);
                    tracing::info!(replicas, "limits are shared through their server");
                }
            }
            Ok(Err(error)) => self.lost(&error.to_string()),
            Err(_elapsed) => self.lost("no answer in time"),
        }
        gauge!("logkey_limit_backend_up").set(if self.is_up() { 1.0 } else { 0.0 });
        gauge!("logkey_limit_replicas").set(f64::from(self.replicas()));
    }

    fn lost(&self, why: &str) {
        counter!("logkey_limit_backend_errors_total").increment(1);
        if self.up.swap(false, SeqCst) {
            gauge!("logkey_limit_backend_up").set(0.0);
            tracing::warn!(%why, replicas = self.replicas(), "limits are not shared: their server does not answer");
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(pulse) = self.pulse.get() {
            pulse.abort();
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("up", &self.up).field("replicas", &self.replicas).finish_non_exhaustive()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
