//! The columns of a row, in whichever database it stands: what reads rows stands once.

use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

use crate::ports::Unavailable;

/// A row whose columns are read by their places.
pub(super) trait Columns {
    /// The database, as errors name it.
    const DEPENDENCY: &'static str;

    /// A text, where there is one.
    fn text(&self, at: usize) -> Result<Option<&str>, Unavailable>;

    /// A whole number, where there is one.
    fn number(&self, at: usize) -> Result<Option<i64>, Unavailable>;

    /// A text that is always there.
    fn required_text(&self, at: usize) -> Result<&str, Unavailable> {
        self.text(at)?.ok_or_else(|| corrupt_row::<Self>(MissingColumn))
    }

    /// A number that is always there.
    fn required_number(&self, at: usize) -> Result<i64, Unavailable> {
        self.number(at)?.ok_or_else(|| corrupt_row::<Self>(MissingColumn))
    }
}

/// A column that is never empty is.
#[derive(Debug, thiserror::Error)]
#[error("a column is empty")]
struct MissingColumn;

/// What is in the row is not what was written there.
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
