//! The migrations of the schema. The first process that starts with a newer release runs them.

use sqlx::{
    PgConnection, SqlSafeStr as _,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::{super::OpenError, server::Server};

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "log", include_str!("../migrations/postgres/0001_log.sql")),
    (2, "history", include_str!("../migrations/postgres/0002_history.sql")),
    (3, "append", include_str!("../migrations/postgres/0003_append.sql")),
];

/// Upgrades the schema under a lock of the database.
pub(super) async fn migrate(session: &mut PgConnection, server: &Server) -> Result<(), OpenError> {
    let migrations = MIGRATIONS.iter().map(|(number, name, sql)| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    let path = server.name();
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "one of the variants is deprecated and cannot be named"
    )]
    migrator.run_direct(None, session, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => OpenError::Newer { path, version },
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            OpenError::Failed { path, source }
        }
        other => OpenError::Damaged { path, source: sqlx::Error::Migrate(Box::new(other)) },
    })
}
