//! Requests with an id of their own that this process has under way: locks of one session, which the server
//! lets go of when the process dies. A task owns the session and ends with the store.

use std::{fmt, time::Duration};

use sqlx::{PgConnection, Row as _};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    server::{ConnectError, PoolKind, Server, timed_out},
    write::unavailable,
};
use crate::{
    domain::idempotency::IdempotencyKey,
    ports::{LockGuard, RequestLock, Unavailable},
};

const TRY: &str = "SELECT pg_try_advisory_lock(hashtextextended($1, 'request'::regclass::oid::bigint))";
const LET_GO: &str = "SELECT pg_advisory_unlock(hashtextextended($1, 'request'::regclass::oid::bigint))";
/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Most that are held at once: a part of what the server's table of locks has room for.
const MAX: usize = 2048;

/// The way to the task.
pub(super) struct AdvisoryLocks {
    requests: mpsc::UnboundedSender<LockCommand>,
}

enum LockCommand {
    Hold(String, oneshot::Sender<Result<Option<RequestLock>, Unavailable>>),
    Release(String, u64),
}

/// A lock of the session with this number.
struct Held {
    name: String,
    session: u64,
    requests: mpsc::WeakUnboundedSender<LockCommand>,
}

/// What the task knows.
struct Task {
    server: Server,
    requests: mpsc::WeakUnboundedSender<LockCommand>,
    connection: Option<PgConnection>,
    session: u64,
    held_locks: usize,
}

// === impl Claims ===

impl AdvisoryLocks {
    /// Needs a runtime.
    pub(super) fn new(server: Server) -> Self {
        // As many as there are requests under way: those are bounded.
        let (requests, receiver) = mpsc::unbounded_channel();
        let task =
            Task { server, requests: requests.downgrade(), connection: None, session: 0, held_locks: 0 };
        tokio::spawn(task.run(receiver));
        Self { requests }
    }

    pub(super) async fn hold(&self, id: &IdempotencyKey) -> Result<Option<RequestLock>, Unavailable> {
        let (reply, receiver) = oneshot::channel();
        let name = format!("{}/{id}", id.tenant.as_str());
        // A task that ended answers nothing.
        drop(self.requests.send(LockCommand::Hold(name, reply)));
        receiver.await.unwrap_or_else(|_ended| Err(unavailable("the store is closed")))
    }
}

// === impl Task ===

impl Task {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<LockCommand>) {
        while let Some(command) = requests.recv().await {
            match command {
                LockCommand::Hold(_, reply) if reply.is_closed() => {}
                LockCommand::Hold(name, reply) => {
                    let acquired = self.hold(name).await.map_err(unavailable);
                    // Whoever went away drops it, and so lets go of it.
                    drop(reply.send(acquired));
                }
                LockCommand::Release(name, session) if session == self.session => self.unlock(&name).await,
                LockCommand::Release(..) => {}
            }
        }
    }

    async fn hold(&mut self, name: String) -> Result<Option<RequestLock>, ConnectError> {
        if self.held_locks >= MAX {
            return Err(ConnectError::Unfit("is asked to hold too many requests at once"));
        }
        // A session that ended unnoticed is told by the first thing that is asked of it.
        let had_one = self.connection.is_some();
        let acquired = match self.try_hold(&name).await {
            Err(_ended) if had_one => self.try_hold(&name).await?,
            tried => tried?,
        };
        if !acquired {
            return Ok(None);
        }
        self.held_locks += 1;
        Ok(Some(RequestLock::from_guard(Held {
            name,
            session: self.session,
            requests: self.requests.clone(),
        })))
    }

    async fn try_hold(&mut self, name: &str) -> Result<bool, ConnectError> {
        let connection = if let Some(connection) = &mut self.connection {
            connection
        } else {
            (self.session, self.held_locks) = (self.session + 1, 0);
            self.connection.insert(self.server.session(PoolKind::Hold).await?)
        };
        let tried = timeout(TIMEOUT, sqlx::query(TRY).bind(name).fetch_one(connection)).await;
        let tried = tried.unwrap_or_else(|_elapsed| Err(timed_out())).and_then(|row| row.try_get(0));
        if tried.is_err() {
            self.abort();
        }
        Ok(tried?)
    }

    async fn unlock(&mut self, name: &str) {
        self.held_locks = self.held_locks.saturating_sub(1);
        let Some(connection) = &mut self.connection else { return };
        let done = timeout(TIMEOUT, sqlx::query(LET_GO).bind(name).execute(connection)).await;
        if !matches!(done, Ok(Ok(_))) {
            self.abort();
        }
    }

    /// A session on which something failed is ended, and all that it holds with it.
    fn abort(&mut self) {
        self.connection = None;
    }
}

// === impl Held ===

impl LockGuard for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        // Without a task there is no session, and no lock.
        if let Some(commands) = self.requests.upgrade() {
            drop(commands.send(LockCommand::Release(std::mem::take(&mut self.name), self.session)));
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

impl fmt::Debug for AdvisoryLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims")
    }
}
