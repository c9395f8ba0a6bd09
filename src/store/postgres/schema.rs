//! The migrations of the schema. The first process that starts with a newer release runs them.

use sqlx::PgConnection;

use super::server::Server;
use crate::{
    ports::upgrade::UpgradeProgress,
    store::{
        error::OpenError,
        migrate::{self, SqlFile},
    },
};

const MIGRATIONS: &[SqlFile] = &[
    SqlFile { number: 1, name: "log", sql: include_str!("../migrations/postgres/0001_log.sql") },
    SqlFile { number: 2, name: "history", sql: include_str!("../migrations/postgres/0002_history.sql") },
    SqlFile { number: 3, name: "append", sql: include_str!("../migrations/postgres/0003_append.sql") },
    SqlFile { number: 4, name: "bulk", sql: include_str!("../migrations/postgres/0004_bulk.sql") },
    SqlFile { number: 5, name: "coverage", sql: include_str!("../migrations/postgres/0005_coverage.sql") },
    SqlFile { number: 6, name: "rules", sql: include_str!("../migrations/postgres/0006_rules.sql") },
    SqlFile {
        number: 7,
        name: "batch_tags",
        sql: include_str!("../migrations/postgres/0007_batch_tags.sql"),
    },
    SqlFile { number: 8, name: "facts", sql: include_str!("../migrations/postgres/0008_facts.sql") },
    SqlFile { number: 9, name: "page_keys", sql: include_str!("../migrations/postgres/0009_page_keys.sql") },
];

/// Upgrades the schema under a lock of the database.
pub(super) async fn migrate(
    session: &mut PgConnection,
    server: &Server,
    progress: &UpgradeProgress,
) -> Result<(), OpenError> {
    let migrated = migrate::run(MIGRATIONS, session, i64::MAX, progress).await;
    let failed = |source| OpenError::Failed { path: server.name(), source };
    migrated.map_err(|error| migrate::open_error(error, server.name(), failed))
}
