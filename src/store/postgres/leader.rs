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
    server::{Purpose, Server, timed_out},
    write::unavailable,
};
use crate::ports::{Lead, SignedCheckpoint, Tile, Unavailable};

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
pub(super) struct Leader {
    session: Mutex<Option<Candidate>>,
    /// When the server was last asked with success, while the lock is held.
    heard: Shared<Option<Instant>>,
}

/// A session that has the lock, or asks for it.
#[derive(Debug)]
struct Candidate {
    connection: PgConnection,
    leads: bool,
    /// The checkpoint on which the next one builds.
    base: Option<String>,
}

// === impl Leader ===

impl Leader {
    /// Whether this process has the lock, without asking.
    pub(super) fn leads(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|heard| heard.elapsed() < LEASE)
    }

    pub(super) async fn lead(&self, server: &Server) -> Result<Lead, Unavailable> {
        let mut held = self.session.lock().await;
        let asked = Instant::now();
        let mut candidate = if let Some(candidate) = held.take() {
            candidate
        } else {
            self.hears(None);
            let connection = server.session(Purpose::Lead).await.map_err(unavailable)?;
            Candidate { connection, leads: false, base: None }
        };
        match timeout(WITHIN, candidate.ask()).await.unwrap_or_else(|_elapsed| Err(timed_out())) {
            Ok(lead) => {
                self.hears((lead != Lead::Other).then_some(asked));
                *held = Some(candidate);
                Ok(lead)
            }
            Err(error) => {
                self.hears(None);
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
        let mut held = self.session.lock().await;
        let Some(mut candidate) = held.take().filter(|candidate| candidate.leads) else {
            return Err(unavailable("another process sequences"));
        };
        let asked = Instant::now();
        let grown = timeout(WITHIN, candidate.grow(tiles, checkpoint)).await;
        match grown.unwrap_or_else(|_elapsed| Err(timed_out())) {
            Ok(()) => {
                self.hears(Some(asked));
                *held = Some(candidate);
                Ok(())
            }
            Err(error) => {
                self.hears(None);
                Err(unavailable(error))
            }
        }
    }

    fn hears(&self, at: Option<Instant>) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

// === impl Candidate ===

impl Candidate {
    async fn ask(&mut self) -> Result<Lead, sqlx::Error> {
        if self.leads {
            sqlx::query("SELECT 1").execute(&mut self.connection).await?;
            return Ok(Lead::Still);
        }
        let row = sqlx::query(TRY).fetch_one(&mut self.connection).await?;
        if !row.try_get::<bool, _>(0)? {
            return Ok(Lead::Other);
        }
        let newest = sqlx::query(NEWEST).fetch_optional(&mut self.connection).await?;
        self.base = newest.map(|row| row.try_get(0)).transpose()?;
        self.leads = true;
        Ok(Lead::Anew)
    }

    async fn grow(&mut self, tiles: &[Tile], checkpoint: &SignedCheckpoint) -> Result<(), sqlx::Error> {
        let number = |number: u64| i64::try_from(number).map_err(|error| sqlx::Error::Encode(error.into()));
        let places: Result<Vec<i64>, _> = tiles.iter().map(|tile| number(tile.index)).collect();
        sqlx::query(GROW)
            .bind(tiles.iter().map(|tile| i64::from(tile.level)).collect::<Vec<_>>())
            .bind(places?)
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
