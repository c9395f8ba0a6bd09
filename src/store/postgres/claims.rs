//! Requests with an id of their own that this process has under way: locks of one session, which the server
//! lets go of when the process dies. A task owns the session and ends with the store.

use std::{fmt, time::Duration};

use sqlx::{PgConnection, Row as _};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    server::{NoSession, Purpose, Server, timed_out},
    write::unavailable,
};
use crate::{
    domain::request::OwnId,
    ports::{HeldRequest, Keep, Unavailable},
};

const TRY: &str = "SELECT pg_try_advisory_lock(hashtextextended($1, 'request'::regclass::oid::bigint))";
const LET_GO: &str = "SELECT pg_advisory_unlock(hashtextextended($1, 'request'::regclass::oid::bigint))";
/// How long one question may take.
const WITHIN: Duration = Duration::from_secs(2);
/// Most that are held at once: a part of what the server's table of locks has room for.
const MOST: usize = 2048;

/// The way to the task.
pub(super) struct Claims {
    ask: mpsc::UnboundedSender<Ask>,
}

enum Ask {
    Hold(String, oneshot::Sender<Result<Option<HeldRequest>, Unavailable>>),
    LetGo(String, u64),
}

/// A lock of the session with this number.
struct Held {
    name: String,
    session: u64,
    ask: mpsc::WeakUnboundedSender<Ask>,
}

/// What the task knows.
struct Task {
    server: Server,
    ask: mpsc::WeakUnboundedSender<Ask>,
    connection: Option<PgConnection>,
    session: u64,
    held: usize,
}

// === impl Claims ===

impl Claims {
    /// Needs a runtime.
    pub(super) fn new(server: Server) -> Self {
        // As many as there are requests under way: those are bounded.
        let (ask, asked) = mpsc::unbounded_channel();
        let task = Task { server, ask: ask.downgrade(), connection: None, session: 0, held: 0 };
        tokio::spawn(task.run(asked));
        Self { ask }
    }

    pub(super) async fn hold(&self, id: &OwnId) -> Result<Option<HeldRequest>, Unavailable> {
        let (reply, answered) = oneshot::channel();
        let name = format!("{}/{id}", id.tenant.as_str());
        // A task that ended answers nothing.
        drop(self.ask.send(Ask::Hold(name, reply)));
        answered.await.unwrap_or_else(|_ended| Err(unavailable("the store is closed")))
    }
}

// === impl Task ===

impl Task {
    async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Ask>) {
        while let Some(ask) = asked.recv().await {
            match ask {
                Ask::Hold(_, reply) if reply.is_closed() => {}
                Ask::Hold(name, reply) => {
                    let held = self.hold(name).await.map_err(unavailable);
                    // Whoever went away drops it, and so lets go of it.
                    drop(reply.send(held));
                }
                Ask::LetGo(name, session) if session == self.session => self.let_go(&name).await,
                Ask::LetGo(..) => {}
            }
        }
    }

    async fn hold(&mut self, name: String) -> Result<Option<HeldRequest>, NoSession> {
        if self.held >= MOST {
            return Err(NoSession::Unfit("is asked to hold too many requests at once"));
        }
        // A session that ended unnoticed is told by the first thing that is asked of it.
        let had_one = self.connection.is_some();
        let held = match self.try_hold(&name).await {
            Err(_ended) if had_one => self.try_hold(&name).await?,
            tried => tried?,
        };
        if !held {
            return Ok(None);
        }
        self.held += 1;
        Ok(Some(HeldRequest::by(Held { name, session: self.session, ask: self.ask.clone() })))
    }

    async fn try_hold(&mut self, name: &str) -> Result<bool, NoSession> {
        let connection = if let Some(connection) = &mut self.connection {
            connection
        } else {
            (self.session, self.held) = (self.session + 1, 0);
            self.connection.insert(self.server.session(Purpose::Hold).await?)
        };
        let tried = timeout(WITHIN, sqlx::query(TRY).bind(name).fetch_one(connection)).await;
        let tried = tried.unwrap_or_else(|_elapsed| Err(timed_out())).and_then(|row| row.try_get(0));
        if tried.is_err() {
            self.give_up();
        }
        Ok(tried?)
    }

    async fn let_go(&mut self, name: &str) {
        self.held = self.held.saturating_sub(1);
        let Some(connection) = &mut self.connection else { return };
        let done = timeout(WITHIN, sqlx::query(LET_GO).bind(name).execute(connection)).await;
        if !matches!(done, Ok(Ok(_))) {
            self.give_up();
        }
    }

    /// A session on which something failed is ended, and all that it holds with it.
    fn give_up(&mut self) {
        self.connection = None;
    }
}

// === impl Held ===

impl Keep for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        // Without a task there is no session, and no lock.
        if let Some(ask) = self.ask.upgrade() {
            drop(ask.send(Ask::LetGo(std::mem::take(&mut self.name), self.session)));
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims")
    }
}
