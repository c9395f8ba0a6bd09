//! The one connection that writes, lent to one after the other. Where its work fails, or is broken off in the
//! middle because nobody waits for it any more, it is given up with all that it had not committed, and the
//! next append begins anew.

use sqlx::SqliteConnection;
use tokio::sync::{Mutex, MutexGuard};

#[derive(Debug)]
pub(super) struct Writer(Mutex<Option<SqliteConnection>>);

// === impl Writer ===

impl Writer {
    pub(super) fn new(open: SqliteConnection) -> Self {
        Self(Mutex::new(Some(open)))
    }

    /// Has something done; fails with `none` where the connection was given up.
    pub(super) async fn checkout<T, E>(
        &self,
        none: impl FnOnce() -> E,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut position = self.0.lock().await;
        let Some(mut open) = position.take() else { return Err(none()) };
        let done = work(&mut open).await;
        if done.is_ok() {
            *position = Some(open);
        }
        done
    }

    /// Gives up the connection, and keeps others waiting for the next one.
    pub(super) async fn reopen(&self) -> MutexGuard<'_, Option<SqliteConnection>> {
        let mut position = self.0.lock().await;
        drop(position.take());
        position
    }
}
