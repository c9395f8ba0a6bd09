//! The open database: the session that commits, the readers, the leader's lease and the locks of requests.

use sqlx::Connection as _;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    advisory_locks::AdvisoryLocks,
    leader::LeaderLease,
    read::Reader,
    schema,
    server::{ConnectError, PoolKind, Server},
    write::{self, Session},
};
use crate::{domain::audit::EventId, ports::upgrade::UpgradeProgress, store::error::OpenError};

/// Deletes the writers whose last session began long ago. Their processes have ended.
const DELETE_WRITERS_SQL: &str = "DELETE FROM writer WHERE since < now() - interval '90 days'";

/// The store as one process uses it.
#[derive(Debug)]
pub(in crate::store) struct Postgres {
    pub(super) server: Server,
    process: Uuid,
    /// `None` after an error, until [`Postgres::begin`] opens a new session.
    pub(super) writer: Mutex<Option<Session>>,
    pub(super) reader: Reader,
    pub(super) leader: LeaderLease,
    pub(super) locks: AdvisoryLocks,
}

// === impl Postgres ===

impl Postgres {
    /// Upgrades the schema and begins a session for writing. Needs a runtime.
    pub(in crate::store) async fn open(url: &str, progress: &UpgradeProgress) -> Result<Self, OpenError> {
        let server = Server::new(url)?;
        let session = server.session(PoolKind::Migrate).await;
        let mut session = session.map_err(|error| server.error_for(error))?;
        schema::migrate(&mut session, &server, progress).await?;
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
    pub(super) async fn begin(&self, doubtful: Option<EventId>) -> Result<bool, ConnectError> {
        let mut writer = self.writer.lock().await;
        drop(writer.take());
        let connection = self.server.session(PoolKind::Write).await?;
        let mut session = Session { connection, process: self.process, id: Uuid::new_v4() };
        let stored = write::recover(&mut session, doubtful).await?;
        *writer = Some(session);
        Ok(stored)
    }
}
