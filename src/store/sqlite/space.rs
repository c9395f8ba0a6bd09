//! Measures the files of the store.

use std::{fs, io, path::Path};

use async_trait::async_trait;
use rustix::fs::statvfs;
use tokio::task::spawn_blocking;

use super::{
    database::Sqlite,
    error::{garbled, unavailable},
};
use crate::ports::{
    Unavailable,
    store::{StoreSize, StoreSpace},
};

#[async_trait]
impl StoreSpace for Sqlite {
    async fn size(&self) -> Result<StoreSize, Unavailable> {
        let path = self.options.get_filename().to_owned();
        let measured = spawn_blocking(move || measure(&path)).await.map_err(garbled)?;
        measured.map_err(|source| unavailable(Some(sqlx::Error::Io(source))))
    }
}

fn measure(path: &Path) -> io::Result<StoreSize> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = fs::metadata(log).map_or(0, |file| file.len());
    let disk = statvfs(path)?;
    Ok(StoreSize {
        bytes: fs::metadata(path)?.len() + log,
        free: Some(disk.f_bavail.saturating_mul(disk.f_frsize)),
    })
}
