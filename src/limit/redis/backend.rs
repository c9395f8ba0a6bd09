//! The connection to the Redis server that replicas share, and its heartbeat.

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
use parking_lot::Mutex;
use redis::{FromRedisValue, RedisError};
use tokio::{
    task::AbortHandle,
    time::{Instant, interval, timeout},
};
use uuid::Uuid;

use super::{
    address::{Address, InvalidRedisUrl, RedisUrl},
    client::{CONNECT_TIMEOUT, RedisConn},
    scripts::{ScriptCall, Scripts, micros},
};
use crate::{
    domain::connection::{FailedStep, failed_step_in},
    ports::limit::QuotaKey,
};

/// The default timeout of a decision.
pub const TIMEOUT: Duration = Duration::from_millis(5);
/// The interval of a replica's heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long a replica counts as live after a heartbeat.
const LIVENESS_TTL: Duration = Duration::from_secs(3);
/// What a replica does while the server is unavailable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBackendError {
    /// Uses the limits divided by the last known number of replicas. This is the default.
    #[default]
    Share,
    /// Rejects calls.
    Refuse,
}

/// The connection to the server that replicas share.
pub struct RedisBackend {
    address: Address,
    connection: ArcSwapOption<RedisConn>,
    pub(super) on_error: OnBackendError,
    pub(super) timeout: Duration,
    pub(super) scripts: Scripts,
    /// The name of this replica, random for each process.
    pub(super) name: String,
    up: AtomicBool,
    /// At which step the last request failed, if that is known.
    failed: Mutex<Option<FailedStep>>,
    /// How often the server became available again.
    reconnects: AtomicU64,
    replicas: AtomicU32,
    pub(super) attempts: AtomicUsize,
    /// The number of decisions that were requested from the server.
    requests_sent: AtomicU64,
    heartbeat_task: std::sync::OnceLock<AbortHandle>,
}

/// The state of the connection to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Whether the server replied to the last request.
    pub up: bool,
    /// A description for operators.
    pub status: String,
}

/// The reply to a request for a send slot of a quota key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::limit) enum SlotReply {
    /// The server reserved a slot after this time.
    In(Duration),
    /// The next slot of the server is later than the longest wait.
    PastDeadline,
    /// The server is unavailable, and this replica uses its share of the quota: one part in this number.
    UseLocal(u32),
    /// The server is unavailable, and the configuration rejects calls.
    Unreachable,
}

// === impl RedisBackend ===

impl RedisBackend {
    /// Connects in the background. Must run in a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`InvalidRedisUrl`] if the URL cannot be parsed.
    pub fn start(
        url: &RedisUrl,
        on_error: OnBackendError,
        timeout: Duration,
    ) -> Result<Arc<Self>, InvalidRedisUrl> {
        let backend = Arc::new(Self {
            address: url.address()?,
            connection: ArcSwapOption::empty(),
            on_error,
            timeout,
            scripts: Scripts::new(),
            name: Uuid::new_v4().to_string(),
            up: AtomicBool::new(false),
            failed: Mutex::default(),
            reconnects: AtomicU64::new(0),
            replicas: AtomicU32::new(1),
            attempts: AtomicUsize::new(0),
            requests_sent: AtomicU64::new(0),
            heartbeat_task: std::sync::OnceLock::new(),
        });
        let weak = Arc::downgrade(&backend);
        let task = tokio::spawn(async move {
            let mut beats = interval(HEARTBEAT);
            loop {
                beats.tick().await;
                let Some(backend) = weak.upgrade() else { return };
                backend.heartbeat().await;
            }
        });
        drop(backend.heartbeat_task.set(task.abort_handle()));
        Ok(backend)
    }

    /// Whether the server replied to the last request.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(SeqCst)
    }

    /// The last known number of live replicas, including this one.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        self.replicas.load(SeqCst)
    }

    /// How often the server became available again.
    pub(super) fn reconnects(&self) -> u64 {
        self.reconnects.load(SeqCst)
    }

    /// The number of decisions that were requested from the server.
    #[must_use]
    pub fn requests_sent(&self) -> u64 {
        self.requests_sent.load(SeqCst)
    }

    /// The state of the connection to the server, for operators.
    #[must_use]
    pub fn state(&self) -> LinkState {
        let replicas = self.replicas();
        let up = self.is_up();
        let status = match (up, self.on_error) {
            (true, _) => format!("shared by {replicas} replicas, redis is up"),
            (false, OnBackendError::Share) => {
                format!("redis is down: each of {replicas} replicas uses its share")
            }
            (false, OnBackendError::Refuse) => {
                "redis is down: calls are rejected, because on_backend_error is \"refuse\"".to_owned()
            }
        };
        let status = match *self.failed.lock() {
            Some(step) if !up => format!("{status}; {step}"),
            Some(_) | None => status,
        };
        LinkState { up, status }
    }

    /// Reserves the next send slot of a quota key, if it comes within `max`.
    pub(in crate::limit) async fn slot(
        &self,
        quota_key: &QuotaKey,
        spacing: Duration,
        max: Duration,
    ) -> SlotReply {
        let key = format!(
            "logkey:lane:{}:{}:{}",
            quota_key.location.account,
            quota_key.location.region,
            quota_key.operation.as_str()
        );
        let run = ScriptCall::new(&self.scripts.slot, vec![key]).arg(micros(spacing)).arg(micros(max));
        match self.decide::<i64>(&run).await {
            Some(wait) => u64::try_from(wait)
                .map_or(SlotReply::PastDeadline, |wait| SlotReply::In(Duration::from_micros(wait))),
            None => match self.on_error {
                OnBackendError::Share => SlotReply::UseLocal(self.replicas()),
                OnBackendError::Refuse => SlotReply::Unreachable,
            },
        }
    }

    /// The reply, if it comes in time; `None` if the server is unavailable or does not reply.
    pub(super) async fn decide<T: FromRedisValue>(&self, run: &ScriptCall<'_>) -> Option<T> {
        if !self.is_up() {
            return None;
        }
        let connection = self.connection.load_full()?;
        let start = Instant::now();
        self.requests_sent.fetch_add(1, SeqCst);
        let reply = timeout(self.timeout, connection.eval(run)).await;
        histogram!("logkey_limit_backend_seconds").record(start.elapsed());
        match reply {
            Ok(Ok(reply)) => Some(reply),
            Ok(Err(error)) => {
                self.mark_down(&error.to_string());
                None
            }
            Err(_elapsed) => {
                self.mark_down("no reply in time");
                None
            }
        }
    }

    async fn heartbeat(&self) {
        let call = ScriptCall::new(&self.scripts.replicas, vec!["logkey:replicas".to_owned()])
            .arg(&self.name)
            .arg(micros(LIVENESS_TTL));
        let mut reply = Err("not connected".to_owned());
        if let Some(connection) = self.connection.load_full() {
            reply = self.register_replica(&connection, &call).await;
        }
        if let Err(reason) = &reply {
            // A failed connection is never used again, because the server may have moved.
            self.connection.store(None);
            if self.is_up() {
                self.mark_down(reason);
            }
            reply = match self.connected().await {
                Ok(connection) => self.register_replica(&connection, &call).await,
                Err(reason) => Err(reason),
            };
        }
        match reply {
            Ok(replicas) => {
                self.replicas.store(replicas.max(1), SeqCst);
                if !self.up.swap(true, SeqCst) {
                    self.reconnects.fetch_add(1, SeqCst);
                    tracing::info!(replicas, "limits are shared through the Redis server");
                }
            }
            Err(reason) => {
                self.connection.store(None);
                self.mark_down(&reason);
            }
        }
        gauge!("logkey_limit_backend_up").set(if self.is_up() { 1.0 } else { 0.0 });
        gauge!("logkey_limit_replicas").set(f64::from(self.replicas()));
    }

    async fn register_replica(&self, connection: &RedisConn, call: &ScriptCall<'_>) -> Result<u32, String> {
        flatten_reply(timeout(self.response_timeout(), connection.eval(call)).await)
    }

    async fn connected(&self) -> Result<Arc<RedisConn>, String> {
        let attempt = self.attempts.fetch_add(1, SeqCst);
        let connection = flatten_reply(
            timeout(CONNECT_TIMEOUT, RedisConn::connect(&self.address, attempt, self.response_timeout()))
                .await,
        )?;
        let connection = Arc::new(connection);
        self.connection.store(Some(Arc::clone(&connection)));
        Ok(connection)
    }

    /// The timeout of any reply: at least the timeout of a decision.
    fn response_timeout(&self) -> Duration {
        HEARTBEAT.max(self.timeout)
    }

    fn mark_down(&self, reason: &str) {
        counter!("logkey_limit_backend_errors_total").increment(1);
        *self.failed.lock() = failed_step_in(reason);
        if self.up.swap(false, SeqCst) {
            gauge!("logkey_limit_backend_up").set(0.0);
            tracing::warn!(%reason, replicas = self.replicas(), "limits are not shared, because the Redis server is unavailable");
        }
    }
}

fn flatten_reply<T>(reply: Result<Result<T, RedisError>, tokio::time::error::Elapsed>) -> Result<T, String> {
    match reply {
        Ok(reply) => reply.map_err(|error| error.to_string()),
        Err(_elapsed) => Err("no reply in time".to_owned()),
    }
}

impl Drop for RedisBackend {
    fn drop(&mut self) {
        if let Some(task) = self.heartbeat_task.get() {
            task.abort();
        }
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend")
            .field("up", &self.up)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}
