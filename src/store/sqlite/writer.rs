//! The one connection that writes, which its users check out one after another. If a user fails or is
//! cancelled, the connection is closed, uncommitted work is rolled back, and the journal recovers before the
//! next append.

use sqlx::SqliteConnection;
use tokio::sync::{Mutex, MutexGuard};

#[derive(Debug)]
pub(super) struct Writer(Mutex<Option<SqliteConnection>>);

// === impl Writer ===

impl Writer {
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Self(Mutex::new(Some(connection)))
    }

    /// Runs `work` with the connection. Fails with `closed` if the connection was closed before.
    pub(super) async fn checkout<T, E>(
        &self,
        closed: impl FnOnce() -> E,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut slot = self.0.lock().await;
        let Some(mut connection) = slot.take() else { return Err(closed()) };
        let done = work(&mut connection).await;
        if done.is_ok() {
            *slot = Some(connection);
        }
        done
    }

    /// Takes the connection out for good. `None` if it was closed before.
    pub(super) async fn take(&self) -> Option<SqliteConnection> {
        self.0.lock().await.take()
    }

    /// Closes the connection and returns the slot for a new one. Other users wait until the guard is dropped.
    pub(super) async fn reopen(&self) -> MutexGuard<'_, Option<SqliteConnection>> {
        let mut slot = self.0.lock().await;
        drop(slot.take());
        slot
    }
}
