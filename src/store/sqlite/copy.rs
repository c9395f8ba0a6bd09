//! Copies the database while another process may write to it.

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    file,
    wal::{self, INSTRUCTIONS},
};
use crate::store::error::OpenError;

/// By how much the write-ahead log may grow during a copy, in bytes. The copy is one transaction, and until it
/// ends the log cannot be emptied.
const MAX_GROWTH: u64 = 1 << 30;

/// Copies the database of this URL to an existing empty file. `VACUUM INTO` reads in one transaction and so
/// copies one moment; SQLite's backup API begins again whenever another process writes
/// (<https://www.sqlite.org/lang_vacuum.html#vacuuminto>).
pub(in crate::store) async fn copy(url: &str, to: &Path) -> Result<(), OpenError> {
    copy_within(url, to, MAX_GROWTH).await
}

async fn copy_within(url: &str, to: &Path, max_growth: u64) -> Result<(), OpenError> {
    let path = file::path(url)?;
    if !path.exists() {
        return Err(OpenError::Missing { path });
    }
    let failed = |source| file::classify(&path, source);
    let options = SqliteConnectOptions::new().filename(&path).read_only(true);
    let mut source = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    // The copy can shrink, also that of a file which cannot. For one that can, the pragma would write to it.
    let mode: i64 = sqlx::query_scalar("PRAGMA auto_vacuum").fetch_one(&mut source).await.map_err(failed)?;
    if mode == 0 {
        let incremental = sqlx::query("PRAGMA auto_vacuum = INCREMENTAL").execute(&mut source).await;
        incremental.map_err(failed)?;
    }
    let (log, stopped) = (wal::path(&path), Arc::new(AtomicBool::new(false)));
    let (max, is_stopped) = (wal::length(&log).saturating_add(max_growth), Arc::clone(&stopped));
    source.lock_handle().await.map_err(failed)?.set_progress_handler(INSTRUCTIONS, move || {
        let may_go_on = wal::length(&log) <= max;
        is_stopped.store(!may_go_on, Ordering::Relaxed);
        may_go_on
    });
    let copied = sqlx::query("VACUUM INTO $1").bind(to.display().to_string()).execute(&mut source).await;
    if copied.is_err() && stopped.load(Ordering::Relaxed) {
        return Err(OpenError::WrittenTooFast { path });
    }
    copied.map_err(failed)?;
    source.close().await.map_err(failed)?;
    let synced = File::open(to).and_then(|copy| copy.sync_all());
    synced.map_err(|source| OpenError::NotWritable { path: to.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteJournalMode;

    use super::*;

    const FILL_SQL: &str = "\
CREATE TABLE filling (body BLOB);
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 4096)
INSERT INTO filling SELECT randomblob(1024) FROM number";

    #[tokio::test(flavor = "multi_thread")]
    async fn a_copy_ends_before_the_write_ahead_log_has_no_bound() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("log.db");
        let url = format!("sqlite://{}", database.display());
        let options = SqliteConnectOptions::new().filename(&database).create_if_missing(true);
        // Otherwise SQLite begins the log again between two copies, and it does not grow.
        let options = options.journal_mode(SqliteJournalMode::Wal).pragma("wal_autocheckpoint", "0");
        let mut writer = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(FILL_SQL).execute(&mut writer).await.unwrap();
        let copy = async |name: &str, max_growth| {
            let to = folder.path().join(name);
            File::create(&to).unwrap();
            copy_within(&url, &to, max_growth).await
        };
        copy("alone.db", 0).await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let writing = tokio::spawn(async move {
            tokio::select! {
                _ = stopped => {}
                () = async {
                    loop {
                        let write = sqlx::query("UPDATE filling SET body = randomblob(1024) WHERE rowid <= 64");
                        write.execute(&mut writer).await.unwrap();
                    }
                } => {}
            }
        });
        // The log grows while the database is copied. Whether it already had grown is a matter of time.
        let mut refused = None;
        for attempt in 0..1_000 {
            refused = copy(&format!("copy-{attempt}.db"), 0).await.err();
            if refused.is_some() {
                break;
            }
        }
        drop(stop);
        writing.await.unwrap();
        assert!(matches!(refused, Some(OpenError::WrittenTooFast { .. })), "{refused:?}");
    }
}
