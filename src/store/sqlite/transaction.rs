//! Transactions outside the journal, through the connection that writes.

use std::sync::Arc;

use sqlx::{
    Sqlite as Driver, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    database::Sqlite,
    error::{failed, garbled, unavailable},
};
use crate::{
    ports::Unavailable,
    store::{
        database::{Database, Param, bind_all},
        transaction::{Dialect, Statement, Transactions},
    },
};

/// A statement with its parameters.
struct Bound {
    query: Query<'static, Driver, SqliteArguments>,
    required: bool,
}

impl Database for Sqlite {
    type Row = SqliteRow;

    async fn rows(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<SqliteRow>, Unavailable> {
        self.reader.rows(sql, params).await
    }
}

impl Transactions for Sqlite {
    const DIALECT: Dialect = Dialect::Sqlite;

    /// Runs on a separate task, so that a cancelled call does not interrupt it and thereby cost the journal its
    /// connection.
    async fn transaction(
        &self,
        statements: Vec<Statement<'_>>,
    ) -> Result<Option<Vec<Vec<SqliteRow>>>, Unavailable> {
        let bound = statements.into_iter().map(|Statement { sql, params, required }| Bound {
            query: bind_all!(sqlx::query(sql), params),
            required,
        });
        let bound: Vec<Bound> = bound.collect();
        let writer = Arc::clone(&self.writer);
        let work = async move {
            let transaction = async |connection: &mut SqliteConnection| run(connection, bound).await;
            writer.checkout(|| unavailable(None), transaction).await
        };
        tokio::spawn(work).await.map_err(garbled)??.map_err(failed)
    }
}

/// The outer error is a connection that cannot be used any more. The inner one is of a statement whose
/// transaction was rolled back.
async fn run(
    connection: &mut SqliteConnection,
    statements: Vec<Bound>,
) -> Result<Result<Option<Vec<Vec<SqliteRow>>>, sqlx::Error>, Unavailable> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    let mut done = Vec::with_capacity(statements.len());
    for Bound { query, required } in statements {
        let rows = match query.fetch_all(&mut *connection).await {
            Ok(rows) if required && rows.is_empty() => Ok(None),
            Ok(rows) => {
                done.push(rows);
                continue;
            }
            Err(error) => Err(error),
        };
        execute(connection, "ROLLBACK").await?;
        return Ok(rows);
    }
    execute(connection, "COMMIT").await?;
    Ok(Ok(Some(done)))
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), Unavailable> {
    sqlx::query(sql).execute(connection).await.map(drop).map_err(failed)
}
