//! Transactions outside the journal.

use sqlx::postgres::PgRow;

use super::database::Postgres;
use crate::{
    ports::Unavailable,
    store::{
        database::{Database, Param, bind_all},
        transaction::{Dialect, Statement, Transactions},
    },
};

impl Database for Postgres {
    type Row = PgRow;

    async fn rows(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<PgRow>, Unavailable> {
        self.reader.rows(sql, params).await
    }
}

impl Transactions for Postgres {
    const DIALECT: Dialect = Dialect::Postgres;

    async fn transaction(
        &self,
        statements: Vec<Statement<'_>>,
    ) -> Result<Option<Vec<Vec<PgRow>>>, Unavailable> {
        let work = async |connection: &mut sqlx::PgConnection| {
            let mut done = Vec::with_capacity(statements.len());
            for Statement { sql, params, required } in statements {
                let rows = bind_all!(sqlx::query(sql), params).fetch_all(&mut *connection).await?;
                if required && rows.is_empty() {
                    return Ok(None);
                }
                done.push(rows);
            }
            Ok(Some(done))
        };
        self.reader.transaction(work).await
    }
}
