//! Copies the database while another process may write to it.

use std::{fs::File, path::Path};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::file;
use crate::store::error::OpenError;

/// Copies the database of this URL to an existing empty file. `VACUUM INTO` reads in one transaction and so
/// copies one moment; SQLite's backup API begins again whenever another process writes
/// (<https://www.sqlite.org/lang_vacuum.html#vacuuminto>).
pub(in crate::store) async fn copy(url: &str, to: &Path) -> Result<(), OpenError> {
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
    let copied = sqlx::query("VACUUM INTO $1").bind(to.display().to_string()).execute(&mut source).await;
    copied.map_err(failed)?;
    source.close().await.map_err(failed)?;
    let synced = File::open(to).and_then(|copy| copy.sync_all());
    synced.map_err(|source| OpenError::NotWritable { path: to.to_owned(), source })
}
