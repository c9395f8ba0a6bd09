//! The election of the leader, the one process that extends the tree, feeds the sinks and reconciles. The
//! leader holds an advisory lock of the server for as long as its session lives. It extends the tree through
//! the same session, so there are never two leaders.

use std::time::Duration;

use parking_lot::Mutex as Shared;
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    error::{timed_out, unavailable},
    server::{PoolKind, Server},
};
use crate::ports::{LeadershipStatus, SignedCheckpoint, Tile, Unavailable};

/// The lock depends on the log's table, so other logs in the same database have other locks.
const TRY_LOCK_SQL: &str =
    "SELECT pg_try_advisory_lock(hashtextextended('logkey leads', 'log'::regclass::oid::bigint))";
const NEWEST_SQL: &str = "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1";
const GROW_SQL: &str = "SELECT grow($1, $2, $3, $4, $5, $6, $7, $8)";
/// Whether a session of this role may be one of the previous release, whose batches have no tags.
const PREVIOUS_RELEASE_SQL: &str = "\
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND (query LIKE 'SELECT append($1::uuid%' OR query LIKE 'SELECT recover($1::uuid%' AND query NOT LIKE '%AS stored'))";
const DROP_APPEND_SQL: &str = "DROP FUNCTION IF EXISTS append";
/// The maximum duration of one statement.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the lock counts as held after its last confirmation: half of the server's limit for idle
/// sessions.
const LEASE: Duration = Duration::from_secs(5);

/// Acquires and holds the lock.
#[derive(Debug, Default)]
pub(super) struct LeaderLease {
    session: Mutex<Option<CandidateState>>,
    /// The time before the last successful statement, while the lock is held.
    confirmed_at: Shared<Option<Instant>>,
}

/// A session that holds the lock or tries to acquire it.
#[derive(Debug)]
struct CandidateState {
    connection: PgConnection,
    leads: bool,
    /// The newest checkpoint, which the next one extends.
    base: Option<String>,
}

// === impl LeaderLease ===

impl LeaderLease {
    /// Whether this process holds the lock, without a query.
    pub(super) fn leads(&self) -> bool {
        let confirmed_at = *self.confirmed_at.lock();
        confirmed_at.is_some_and(|at| at.elapsed() < LEASE)
    }

    pub(super) async fn lead(&self, server: &Server) -> Result<LeadershipStatus, Unavailable> {
        let mut session = self.session.lock().await;
        let requested_at = Instant::now();
        let mut candidate = if let Some(candidate) = session.take() {
            candidate
        } else {
            self.set_confirmed_at(None);
            let connection = server.session(PoolKind::Leader).await.map_err(unavailable)?;
            CandidateState { connection, leads: false, base: None }
        };
        match timeout(TIMEOUT, candidate.try_acquire()).await.unwrap_or_else(|_elapsed| Err(timed_out())) {
            Ok(lead) => {
                self.set_confirmed_at((lead != LeadershipStatus::Follower).then_some(requested_at));
                *session = Some(candidate);
                Ok(lead)
            }
            Err(error) => {
                self.set_confirmed_at(None);
                Err(unavailable(error))
            }
        }
    }

    /// Stores tiles and their checkpoint, if this process is the leader and no other process has stored a
    /// checkpoint meanwhile.
    pub(super) async fn grow(
        &self,
        tiles: &[Tile],
        checkpoint: &SignedCheckpoint,
    ) -> Result<(), Unavailable> {
        let mut session = self.session.lock().await;
        let Some(mut candidate) = session.take().filter(|candidate| candidate.leads) else {
            return Err(unavailable("another process is the leader"));
        };
        let requested_at = Instant::now();
        let grown = timeout(TIMEOUT, candidate.grow(tiles, checkpoint)).await;
        match grown.unwrap_or_else(|_elapsed| Err(timed_out())) {
            Ok(()) => {
                self.set_confirmed_at(Some(requested_at));
                *session = Some(candidate);
                Ok(())
            }
            Err(error) => {
                self.set_confirmed_at(None);
                Err(unavailable(error))
            }
        }
    }

    /// Makes further batches of the previous release fail, unless a session of it may be in use. Only the leader
    /// may call it.
    pub(super) async fn refuse_untagged(&self) -> Result<bool, Unavailable> {
        let mut session = self.session.lock().await;
        let Some(mut candidate) = session.take().filter(|candidate| candidate.leads) else {
            return Err(unavailable("another process is the leader"));
        };
        let refused = timeout(TIMEOUT, candidate.refuse_untagged()).await;
        let refused = refused.unwrap_or_else(|_elapsed| Err(timed_out())).map_err(unavailable)?;
        *session = Some(candidate);
        Ok(refused)
    }

    /// Gives up the lock, so that another replica can take over at once.
    pub(super) async fn close(&self) {
        self.set_confirmed_at(None);
        if let Some(candidate) = self.session.lock().await.take() {
            drop(candidate.connection.close().await);
        }
    }

    fn set_confirmed_at(&self, at: Option<Instant>) {
        *self.confirmed_at.lock() = at;
    }
}

// === impl CandidateState ===

impl CandidateState {
    async fn try_acquire(&mut self) -> Result<LeadershipStatus, sqlx::Error> {
        if self.leads {
            sqlx::query("SELECT 1").execute(&mut self.connection).await?;
            return Ok(LeadershipStatus::Held);
        }
        let row = sqlx::query(TRY_LOCK_SQL).fetch_one(&mut self.connection).await?;
        if !row.try_get::<bool, _>(0)? {
            return Ok(LeadershipStatus::Follower);
        }
        let newest = sqlx::query(NEWEST_SQL).fetch_optional(&mut self.connection).await?;
        self.base = newest.map(|row| row.try_get(0)).transpose()?;
        self.leads = true;
        Ok(LeadershipStatus::Acquired)
    }

    async fn refuse_untagged(&mut self) -> Result<bool, sqlx::Error> {
        let row = sqlx::query(PREVIOUS_RELEASE_SQL).fetch_one(&mut self.connection).await?;
        if row.try_get(0)? {
            return Ok(false);
        }
        sqlx::query(DROP_APPEND_SQL).execute(&mut self.connection).await?;
        Ok(true)
    }

    async fn grow(&mut self, tiles: &[Tile], checkpoint: &SignedCheckpoint) -> Result<(), sqlx::Error> {
        let number = |number: u64| i64::try_from(number).map_err(|error| sqlx::Error::Encode(error.into()));
        let indexes: Result<Vec<i64>, _> = tiles.iter().map(|tile| number(tile.index)).collect();
        sqlx::query(GROW_SQL)
            .bind(tiles.iter().map(|tile| i64::from(tile.level)).collect::<Vec<_>>())
            .bind(indexes?)
            .bind(tiles.iter().map(|tile| tile.hashes.as_slice()).collect::<Vec<_>>())
            .bind(number(checkpoint.size)?)
            .bind(checkpoint.time.as_micros())
            .bind(&*checkpoint.note)
            .bind(checkpoint.handover)
            .bind(self.base.as_deref())
            .execute(&mut self.connection)
            .await?;
        self.base = Some(checkpoint.note.clone());
        Ok(())
    }
}
