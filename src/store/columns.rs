//! Reads the columns of a row of either database, so that the code that reads rows exists once.

use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

use crate::ports::Unavailable;

/// A row whose columns are read by their position.
pub(super) trait Columns {
    /// The name of the database in errors.
    const DEPENDENCY: &'static str;

    /// The text in a column that may be null.
    fn text(&self, at: usize) -> Result<Option<&str>, Unavailable>;

    /// The integer in a column that may be null.
    fn number(&self, at: usize) -> Result<Option<i64>, Unavailable>;

    /// The text in a column that is never null.
    fn required_text(&self, at: usize) -> Result<&str, Unavailable> {
        self.text(at)?.ok_or_else(|| corrupt_row::<Self>(MissingColumn))
    }

    /// The integer in a column that is never null.
    fn required_number(&self, at: usize) -> Result<i64, Unavailable> {
        self.number(at)?.ok_or_else(|| corrupt_row::<Self>(MissingColumn))
    }
}

/// A column that is never null is null.
#[derive(Debug, thiserror::Error)]
#[error("a required column is null")]
struct MissingColumn;

/// The error for a row whose content is not what the store writes.
pub(super) fn corrupt_row<R: Columns + ?Sized>(
    source: impl std::error::Error + Send + Sync + 'static,
) -> Unavailable {
    Unavailable { dependency: R::DEPENDENCY, source: Some(Box::new(source)) }
}

impl Columns for SqliteRow {
    const DEPENDENCY: &'static str = "sqlite";

    fn text(&self, at: usize) -> Result<Option<&str>, Unavailable> {
        self.try_get(at).map_err(corrupt_row::<Self>)
    }

    fn number(&self, at: usize) -> Result<Option<i64>, Unavailable> {
        self.try_get(at).map_err(corrupt_row::<Self>)
    }
}

impl Columns for PgRow {
    const DEPENDENCY: &'static str = "postgres";

    fn text(&self, at: usize) -> Result<Option<&str>, Unavailable> {
        self.try_get(at).map_err(corrupt_row::<Self>)
    }

    fn number(&self, at: usize) -> Result<Option<i64>, Unavailable> {
        self.try_get(at).map_err(corrupt_row::<Self>)
    }
}
