//! The migrations of a schema, and why they can fail.

use std::path::PathBuf;

use sqlx::{
    SqlSafeStr as _,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::error::OpenError;

/// One migration. It never changes after its release, because the store keeps its checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct SqlFile {
    pub(super) number: i64,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

/// Runs these migrations in order.
pub(super) fn migrator(files: &[SqlFile]) -> Migrator {
    let migrations = files.iter().map(|SqlFile { number, name, sql }| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, (*sql).into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// The [`OpenError`] for a failed migration. `classify` maps an error of the database.
#[expect(clippy::wildcard_enum_match_arm, reason = "one of the variants is deprecated and cannot be named")]
pub(super) fn open_error(
    error: MigrateError,
    path: PathBuf,
    classify: impl FnOnce(sqlx::Error) -> OpenError,
) -> OpenError {
    match error {
        MigrateError::VersionMissing(version) => OpenError::Newer { path, version },
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => classify(source),
        other => OpenError::Damaged { path, source: sqlx::Error::Migrate(Box::new(other)) },
    }
}

#[cfg(test)]
mod tests;
