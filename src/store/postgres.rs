//! The store in a PostgreSQL database that several processes share. Each process appends; one of them, the
//! leader, extends the tree. Every wait for the server has a time limit.

mod advisory_locks;
mod archive;
mod code;
mod history;
mod leader;
mod read;
mod schema;
mod server;
mod tree;
mod write;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::Connection as _;
use tokio::{sync::Mutex, time};
use uuid::Uuid;

pub(super) use self::read::Reader;
use self::{
    advisory_locks::AdvisoryLocks,
    leader::LeaderLease,
    server::{PoolKind, Server, timed_out},
    write::{Session, unavailable},
};
use super::OpenError;
use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{
        AppendError, Batch, EventFilter, EventReader, EventStore, IndexCheckedEvent, Leadership, StoredEvent,
        Unavailable,
    },
};

/// The maximum wait for a commit. The server's own time limit is shorter.
const APPEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Deletes the writers whose last session began long ago. Their processes have ended.
const DELETE_WRITERS_SQL: &str = "DELETE FROM writer WHERE since < now() - interval '90 days'";

/// The store as one process uses it.
#[derive(Debug)]
pub(super) struct Postgres {
    server: Server,
    process: Uuid,
    /// `None` after an error, until [`Postgres::begin`] opens a new session.
    writer: Mutex<Option<Session>>,
    reader: Reader,
    leader: LeaderLease,
    locks: AdvisoryLocks,
}

// === impl Postgres ===

impl Postgres {
    /// Upgrades the schema and begins a session for writing. Needs a runtime.
    pub(super) async fn open(url: &str) -> Result<Self, OpenError> {
        let server = Server::new(url)?;
        let session = server.session(PoolKind::Migrate).await;
        let mut session = session.map_err(|error| server.error_for(error))?;
        schema::migrate(&mut session, &server).await?;
        let failed = |source| OpenError::Failed { path: server.name(), source };
        sqlx::query(DELETE_WRITERS_SQL).execute(&mut session).await.map_err(failed)?;
        session.close().await.map_err(failed)?;
        let (reader, locks) = (Reader::from_server(&server), AdvisoryLocks::new(server.clone()));
        let (process, leader) = (Uuid::new_v4(), LeaderLease::default());
        let store = Self { server, process, writer: Mutex::default(), reader, leader, locks };
        match store.begin(None).await {
            Ok(_) => Ok(store),
            Err(error) => Err(store.server.error_for(error)),
        }
    }

    /// Begins the one session of this process that may commit. Earlier sessions of the process can no longer
    /// commit.
    async fn begin(&self, doubtful: Option<EventId>) -> Result<bool, server::ConnectError> {
        let mut writer = self.writer.lock().await;
        drop(writer.take());
        let connection = self.server.session(PoolKind::Write).await?;
        let mut session = Session { connection, process: self.process, id: Uuid::new_v4() };
        let stored = write::recover(&mut session, doubtful).await?;
        *writer = Some(session);
        Ok(stored)
    }
}

#[async_trait]
impl EventStore for Postgres {
    async fn append(&self, batch: Arc<Batch>) -> Result<Option<u64>, AppendError> {
        let mut writer = self.writer.lock().await;
        let Some(mut session) = writer.take() else {
            return Err(AppendError::NotWritten(unavailable("there is no connection")));
        };
        match time::timeout(APPEND_TIMEOUT, write::append(&mut session, &batch)).await {
            Ok(Ok(())) => {
                *writer = Some(session);
                // Other replicas append too, so the sequence numbers are known only after a read.
                Ok(None)
            }
            // This session is not used again. Recovery begins another one.
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(AppendError::Indeterminate(unavailable(timed_out()))),
        }
    }

    async fn recover(&self, doubtful: Option<EventId>) -> Result<bool, Unavailable> {
        self.begin(doubtful).await.map_err(unavailable)
    }
}

impl Leadership for Postgres {
    fn is_leader(&self) -> bool {
        self.leader.leads()
    }

    fn is_single_node(&self) -> bool {
        false
    }
}

#[async_trait]
impl EventReader for Postgres {
    async fn list(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        self.reader.list(filter, before, limit).await
    }

    async fn next(
        &self,
        filter: &EventFilter,
        through: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        self.reader.next(filter, through, limit).await
    }

    async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        self.reader.after(seq, limit).await
    }

    async fn index_check(&self, seq: u64, limit: u32) -> Result<Vec<IndexCheckedEvent>, Unavailable> {
        self.reader.index_check(seq, limit).await
    }

    async fn open_intents(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        let found = self.reader.open_intents(before).await?;
        self.remember_reconciled().await;
        Ok(found)
    }

    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        self.reader.find(id).await
    }
}
