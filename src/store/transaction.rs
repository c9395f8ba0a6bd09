//! Runs several statements in one transaction. The statements are known before it begins, so a database never
//! waits for the process while it holds locks.

use crate::ports::Unavailable;

use super::database::{Database, Param};

/// One statement of a transaction.
#[derive(Clone, Debug)]
pub(super) struct Statement<'p> {
    pub(super) sql: &'static str,
    pub(super) params: Vec<Param<'p>>,
    /// Whether the transaction is rolled back if the statement returns no row.
    pub(super) required: bool,
}

/// A database that runs transactions.
pub(super) trait Transactions: Database {
    /// The statements that differ between the databases.
    const DIALECT: Dialect;

    /// Runs the statements in order, and returns the rows of each. `None`, and nothing is changed, if a required
    /// statement returned no row. What they write is durable when this returns.
    fn transaction(
        &self,
        statements: Vec<Statement<'_>>,
    ) -> impl Future<Output = Result<Option<Vec<Vec<Self::Row>>>, Unavailable>> + Send;
}

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

// === impl Statement ===

impl<'p> Statement<'p> {
    pub(super) fn new<const N: usize>(sql: &'static str, params: [Param<'p>; N]) -> Self {
        Self { sql, params: params.into(), required: false }
    }

    /// The same statement, which has to return a row.
    pub(super) fn required(self) -> Self {
        Self { required: true, ..self }
    }
}
