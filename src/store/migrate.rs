//! The migrations of a schema, and why they can fail.

use std::{collections::BTreeSet, path::PathBuf};

use sqlx::{
    SqlSafeStr as _,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
};

use super::error::OpenError;
use crate::ports::upgrade::{UpgradeProgress, UpgradeStep};

/// One migration. It never changes after its release, because the store keeps its checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct SqlFile {
    pub(super) number: i64,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

/// Runs the migrations up to a number that did not run yet, in order, each in one transaction. The database's
/// lock keeps other processes from running them at the same time.
pub(super) async fn run<C: Migrate>(
    files: &[SqlFile],
    connection: &mut C,
    through: i64,
    progress: &UpgradeProgress,
) -> Result<(), MigrateError> {
    let mut migrator = migrator(files);
    migrator.set_locking(false);
    connection.lock().await?;
    connection.ensure_migrations_table(&migrator.table_name).await?;
    let applied = connection.list_applied_migrations(&migrator.table_name).await?;
    let applied: BTreeSet<i64> = applied.iter().map(|migration| migration.version).collect();
    let missing = files.iter().map(|file| file.number).filter(|number| !applied.contains(number));
    for number in missing.filter(|number| *number <= through) {
        progress.set(Some(UpgradeStep { number, last: last(files), done: 0, total: 0 }));
        migrator.run_direct(Some(number), connection, false).await?;
    }
    // Checks that this release knows every migration that ran.
    migrator.run_direct(Some(through), connection, false).await?;
    progress.set(None);
    connection.unlock().await
}

/// The number of the last migration.
pub(super) fn last(files: &[SqlFile]) -> i64 {
    files.iter().map(|file| file.number).max().unwrap_or_default()
}

fn migrator(files: &[SqlFile]) -> Migrator {
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
