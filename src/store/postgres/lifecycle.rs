//! Closes the sessions.

use async_trait::async_trait;
use sqlx::Connection as _;

use super::{database::Postgres, write::Session};
use crate::ports::ClosableStore;

#[async_trait]
impl ClosableStore for Postgres {
    async fn close(&self) {
        self.reader.close().await;
        self.leader.close().await;
        // If the connection is broken, the server ends the session by itself.
        if let Some(Session { connection, .. }) = self.writer.lock().await.take() {
            drop(connection.close().await);
        }
    }
}
