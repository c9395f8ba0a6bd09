//! Keeps the keys of page tokens that have left the key file, in SQLite or PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    columns::Columns,
    database::Param,
    transaction::{Statement, Transactions},
};
use crate::{
    domain::time::Timestamp,
    ports::{
        Unavailable,
        page_keys::{PageKeyStore, SealedPageKey},
    },
};

/// The maximum number of keys; a rotation adds one or two.
const MAX_KEYS: i64 = 32;

const LOAD_SQL: &str = "SELECT sealed_by, id, sealed, until FROM page_key ORDER BY stored, id";

const SAVE_SQL: &str = "\
INSERT INTO page_key (sealed_by, id, sealed, until, stored) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (sealed_by, id) DO UPDATE SET sealed = excluded.sealed, stored = excluded.stored,
    until = CASE WHEN excluded.until IS NULL THEN NULL ELSE coalesce(page_key.until, excluded.until) END";

const DELETE_SQL: &str = "\
DELETE FROM page_key WHERE until <= $1
OR (sealed_by, id) NOT IN (SELECT sealed_by, id FROM page_key ORDER BY stored DESC, id LIMIT $2)";

/// The table of these keys in a database.
#[derive(Debug)]
pub(super) struct PageKeyTable<D>(pub(super) Arc<D>);

#[async_trait]
impl<D: Transactions + Send + Sync + 'static> PageKeyStore for PageKeyTable<D> {
    async fn load(&self) -> Result<Vec<SealedPageKey>, Unavailable> {
        self.0.rows(LOAD_SQL, &[]).await?.iter().map(sealed_key).collect()
    }

    async fn save(&self, keys: &[SealedPageKey], now: Timestamp) -> Result<(), Unavailable> {
        let mut statements: Vec<Statement<'_>> = keys.iter().map(|key| save(key, now)).collect();
        statements.push(Statement::new(DELETE_SQL, [now.as_micros().into(), MAX_KEYS.into()]));
        self.0.transaction(statements).await.map(drop)
    }
}

fn save(key: &SealedPageKey, now: Timestamp) -> Statement<'_> {
    let SealedPageKey { sealed_by, id, sealed, until } = key;
    let [sealed_by, id, sealed] = [sealed_by, id, sealed].map(|text| Param::from(&**text));
    let until = until.map(Timestamp::as_micros);
    Statement::new(SAVE_SQL, [sealed_by, id, sealed, until.into(), now.as_micros().into()])
}

fn sealed_key<R: Columns>(row: &R) -> Result<SealedPageKey, Unavailable> {
    Ok(SealedPageKey {
        sealed_by: row.required_text(0)?.into(),
        id: row.required_text(1)?.into(),
        sealed: row.required_text(2)?.into(),
        until: row.number(3)?.map(Timestamp::from_micros),
    })
}
