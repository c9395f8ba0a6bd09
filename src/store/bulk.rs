//! Bulk jobs in SQLite or PostgreSQL, behind two ports: the jobs with their items, and the queue.

mod jobs;
mod params;
mod queue;
mod rows;
mod sql;

use std::sync::Arc;

/// The tables of bulk jobs in a database.
#[derive(Debug)]
pub(super) struct BulkTables<D>(Arc<D>);

// === impl BulkTables ===

impl<D> BulkTables<D> {
    pub(super) fn new(database: Arc<D>) -> Self {
        Self(database)
    }
}
