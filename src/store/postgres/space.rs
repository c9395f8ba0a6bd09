//! Measures the database.

use async_trait::async_trait;

use super::database::Postgres;
use crate::{
    ports::{
        Unavailable,
        store::{StoreSize, StoreSpace},
    },
    store::{columns::Columns as _, database::Database as _},
};

const SIZE_SQL: &str = "SELECT pg_database_size(current_database())";

#[async_trait]
impl StoreSpace for Postgres {
    async fn size(&self) -> Result<StoreSize, Unavailable> {
        let rows = self.reader.rows(SIZE_SQL, &[]).await?;
        let bytes = rows.first().map(|row| row.unsigned(0)).transpose()?.unwrap_or_default();
        Ok(StoreSize { bytes, free: None })
    }
}
