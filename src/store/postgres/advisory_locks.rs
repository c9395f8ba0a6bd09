//! Advisory locks on the requests that this process has in progress. One session holds them, so the server
//! releases them when the process dies. A task owns the session and ends with the store.

use std::{fmt, time::Duration};

use sqlx::{PgConnection, Row as _};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    error::{timed_out, unavailable},
    server::{ConnectError, PoolKind, Server},
};
use crate::ports::{LockGuard, RequestLock, Unavailable};

const TRY_LOCK_SQL: &str =
    "SELECT pg_try_advisory_lock(hashtextextended($1, 'request'::regclass::oid::bigint))";
const UNLOCK_SQL: &str = "SELECT pg_advisory_unlock(hashtextextended($1, 'request'::regclass::oid::bigint))";
/// The maximum duration of one statement.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of locks at once: a part of the server's lock table.
const MAX_LOCKS: usize = 2048;

/// The handle of the task.
pub(super) struct AdvisoryLocks {
    requests: mpsc::UnboundedSender<LockCommand>,
}

enum LockCommand {
    Acquire(String, oneshot::Sender<Result<Option<RequestLock>, Unavailable>>),
    Release(String, u64),
}

/// A lock that the session with this number holds.
struct AdvisoryLock {
    name: String,
    session: u64,
    requests: mpsc::WeakUnboundedSender<LockCommand>,
}

/// The state of the task.
struct Task {
    server: Server,
    requests: mpsc::WeakUnboundedSender<LockCommand>,
    connection: Option<PgConnection>,
    session: u64,
    held_locks: usize,
}

// === impl AdvisoryLocks ===

impl AdvisoryLocks {
    /// Starts the task, which needs a runtime.
    pub(super) fn new(server: Server) -> Self {
        // The number of requests in flight bounds the queue.
        let (requests, receiver) = mpsc::unbounded_channel();
        let task =
            Task { server, requests: requests.downgrade(), connection: None, session: 0, held_locks: 0 };
        tokio::spawn(task.run(receiver));
        Self { requests }
    }

    pub(super) async fn acquire(&self, name: String) -> Result<Option<RequestLock>, Unavailable> {
        let (reply, receiver) = oneshot::channel();
        // If the task has ended, the reply channel is closed and the receive below fails.
        drop(self.requests.send(LockCommand::Acquire(name, reply)));
        receiver.await.unwrap_or_else(|_ended| Err(unavailable("the store is closed")))
    }
}

// === impl Task ===

impl Task {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<LockCommand>) {
        while let Some(command) = requests.recv().await {
            match command {
                LockCommand::Acquire(_, reply) if reply.is_closed() => {}
                LockCommand::Acquire(name, reply) => {
                    let acquired = self.acquire(name).await.map_err(unavailable);
                    // If the caller was cancelled, the lock is dropped here and thereby released.
                    drop(reply.send(acquired));
                }
                LockCommand::Release(name, session) if session == self.session => self.unlock(&name).await,
                LockCommand::Release(..) => {}
            }
        }
    }

    async fn acquire(&mut self, name: String) -> Result<Option<RequestLock>, ConnectError> {
        if self.held_locks >= MAX_LOCKS {
            return Err(ConnectError::Unfit("already holds the maximum number of request locks"));
        }
        // If the session has ended unnoticed, the first statement fails, and a new session gets one attempt.
        let had_session = self.connection.is_some();
        let acquired = match self.try_lock(&name).await {
            Err(_ended) if had_session => self.try_lock(&name).await?,
            result => result?,
        };
        if !acquired {
            return Ok(None);
        }
        self.held_locks += 1;
        Ok(Some(RequestLock::from_guard(AdvisoryLock {
            name,
            session: self.session,
            requests: self.requests.clone(),
        })))
    }

    async fn try_lock(&mut self, name: &str) -> Result<bool, ConnectError> {
        let connection = if let Some(connection) = &mut self.connection {
            connection
        } else {
            (self.session, self.held_locks) = (self.session + 1, 0);
            self.connection.insert(self.server.session(PoolKind::Locks).await?)
        };
        let locked = timeout(TIMEOUT, sqlx::query(TRY_LOCK_SQL).bind(name).fetch_one(connection)).await;
        let locked = locked.unwrap_or_else(|_elapsed| Err(timed_out())).and_then(|row| row.try_get(0));
        if locked.is_err() {
            self.abort();
        }
        Ok(locked?)
    }

    async fn unlock(&mut self, name: &str) {
        self.held_locks = self.held_locks.saturating_sub(1);
        let Some(connection) = &mut self.connection else { return };
        let done = timeout(TIMEOUT, sqlx::query(UNLOCK_SQL).bind(name).execute(connection)).await;
        if !matches!(done, Ok(Ok(_))) {
            self.abort();
        }
    }

    /// Ends the session after a failure. That releases all its locks.
    fn abort(&mut self) {
        self.connection = None;
    }
}

// === impl AdvisoryLock ===

impl LockGuard for AdvisoryLock {}

impl Drop for AdvisoryLock {
    fn drop(&mut self) {
        // If the task has ended, so have its session and the lock.
        if let Some(commands) = self.requests.upgrade() {
            drop(commands.send(LockCommand::Release(std::mem::take(&mut self.name), self.session)));
        }
    }
}

impl fmt::Debug for AdvisoryLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdvisoryLock")
    }
}

impl fmt::Debug for AdvisoryLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdvisoryLocks")
    }
}
