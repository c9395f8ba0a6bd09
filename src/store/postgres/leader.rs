//! The one process that sequences, feeds the sinks and settles: whoever holds a lock of the server's, for as
//! long as its session lives. The tree grows through that very session, so that there are never two.

use std::{
    sync::{Mutex as Shared, PoisonError},
    time::Duration,
};

use sqlx::{PgConnection, Row as _};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    server::{PoolKind, Server, timed_out},
    write::unavailable,
};
use crate::ports::{LeadershipStatus, SignedCheckpoint, Tile, Unavailable};

/// The lock is the log's own: others in the same database have others.
const TRY: &str =
    "SELECT pg_try_advisory_lock(hashtextextended('logkey leads', 'log'::regclass::oid::bigint))";
const NEWEST: &str = "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1";
const GROW: &str = "SELECT grow($1, $2, $3, $4, $5, $6, $7, $8)";
/// How long one question may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How long after the server last heard of it the lock counts as held: half of what the server allows.
const LEASE: Duration = Duration::from_secs(5);

/// Asks for the lock, and holds it.
#[derive(Debug, Default)]
pub(super) struct LeaderLease {
    session: Mutex<Option<CandidateState>>,
    /// When the server was last asked with success, while the lock is held.
    monitored: Shared<Option<Instant>>,
}

/// A session that has the lock, or asks for it.
#[derive(Debug)]
struct CandidateState {
    connection: PgConnection,
    leads: bool,
    /// The checkpoint on which the next one builds.
    base: Option<String>,
}

// === impl Leader ===

impl LeaderLease {
    /// Whether this process has the lock, without asking.
    pub(super) fn leads(&self) -> bool {
        let monitored = *self.monitored.lock().unwrap_or_else(PoisonError::into_inner);
        monitored.is_some_and(|monitored| monitored.elapsed() < LEASE)
    }

    pub(super) async fn lead(&self, server: &Server) -> Result<LeadershipStatus, Unavailable> {
        let mut session = self.session.lock().await;
        let requested_at = Instant::now();
        let mut candidate = if let Some(candidate) = session.take() {
            candidate
        } else {
            self.observe(None);
            let connection = server.session(PoolKind::Lead).await.map_err(unavailable)?;
            CandidateState { connection, leads: false, base: None }
        };
        match timeout(WITHIN, candidate.try_acquire()).await.unwrap_or_else(|_elapsed| Err(timed_out())) {
            Ok(lead) => {
                self.observe((lead != LeadershipStatus::Follower).then_some(requested_at));
                *session = Some(candidate);
                Ok(lead)
            }
            Err(error) => {
                self.observe(None);
                Err(unavailable(error))
            }
        }
    }

    /// Keeps tiles and their checkpoint, where this process leads and nobody else came between.
    pub(super) async fn grow(
        &self,
        tiles: &[Tile],
        checkpoint: &SignedCheckpoint,
    ) -> Result<(), Unavailable> {
        let mut session = self.session.lock().await;
        let Some(mut candidate) = session.take().filter(|candidate| candidate.leads) else {
            return Err(unavailable("another process sequences"));
        };
        let requested_at = Instant::now();
        let grown = timeout(WITHIN, candidate.grow(tiles, checkpoint)).await;
        match grown.unwrap_or_else(|_elapsed| Err(timed_out())) {
            Ok(()) => {
                self.observe(Some(requested_at));
                *session = Some(candidate);
                Ok(())
            }
            Err(error) => {
                self.observe(None);
                Err(unavailable(error))
            }
        }
    }

    fn observe(&self, at: Option<Instant>) {
        *self.monitored.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

// === impl Candidate ===

impl CandidateState {
    async fn try_acquire(&mut self) -> Result<LeadershipStatus, sqlx::Error> {
        if self.leads {
            sqlx::query("SELECT 1").execute(&mut self.connection).await?;
            return Ok(LeadershipStatus::Held);
        }
        let row = sqlx::query(TRY).fetch_one(&mut self.connection).await?;
        if !row.try_get::<bool, _>(0)? {
            return Ok(LeadershipStatus::Follower);
        }
        let newest = sqlx::query(NEWEST).fetch_optional(&mut self.connection).await?;
        self.base = newest.map(|row| row.try_get(0)).transpose()?;
        self.leads = true;
        Ok(LeadershipStatus::Acquired)
    }

    async fn grow(&mut self, tiles: &[Tile], checkpoint: &SignedCheckpoint) -> Result<(), sqlx::Error> {
        let number = |number: u64| i64::try_from(number).map_err(|error| sqlx::Error::Encode(error.into()));
        let locations: Result<Vec<i64>, _> = tiles.iter().map(|tile| number(tile.index)).collect();
        sqlx::query(GROW)
            .bind(tiles.iter().map(|tile| i64::from(tile.level)).collect::<Vec<_>>())
            .bind(locations?)
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
