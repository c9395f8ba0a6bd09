//! Reads the columns of a row of either database, so that the code that reads rows exists once.

use sqlx::{ColumnIndex, Decode, Row, Type, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    domain::audit::EventId,
    ports::{StoredEvent, Unavailable},
};

/// A row whose columns are read by their position.
pub(super) trait Columns {
    /// The name of the database in errors.
    const DEPENDENCY: &'static str;

    /// The text in a column that may be null.
    fn text(&self, at: usize) -> Result<Option<&str>, Unavailable>;

    /// The text in a column that is never null. If its bytes are not UTF-8, another text that says so, which is
    /// neither an event nor a checkpoint.
    fn lossy_text(&self, at: usize) -> Result<String, Unavailable>;

    /// The integer in a column that may be null.
    fn number(&self, at: usize) -> Result<Option<i64>, Unavailable>;

    /// The bytes in a column that is never null.
    fn bytes(&self, at: usize) -> Result<Vec<u8>, Unavailable>;

    /// The truth value in a column that is never null.
    fn flag(&self, at: usize) -> Result<bool, Unavailable>;

    /// The id of an event in a column that may be null. SQLite stores its bytes; statements for PostgreSQL
    /// select it as text.
    fn event_id(&self, at: usize) -> Result<Option<EventId>, Unavailable>;

    /// The text in a column that is never null.
    fn required_text(&self, at: usize) -> Result<&str, Unavailable> {
        self.text(at)?.ok_or_else(|| corrupt_row::<Self>(MissingColumn))
    }

    /// The integer in a column that is never null.
    fn required_number(&self, at: usize) -> Result<i64, Unavailable> {
        self.number(at)?.ok_or_else(|| corrupt_row::<Self>(MissingColumn))
    }

    /// The integer in a column that is never null or negative.
    fn unsigned(&self, at: usize) -> Result<u64, Unavailable> {
        u64::try_from(self.required_number(at)?).map_err(corrupt_row::<Self>)
    }

    /// The id of an event in a column that is never null.
    fn required_event_id(&self, at: usize) -> Result<EventId, Unavailable> {
        self.event_id(at)?.ok_or_else(|| corrupt_row::<Self>(MissingColumn))
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

/// The number as a database stores it. A number that is too large becomes the maximum, at which there is no
/// event.
pub(super) fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn get<'r, R, T>(row: &'r R, at: usize) -> Result<T, Unavailable>
where
    R: Row + Columns,
    usize: ColumnIndex<R>,
    T: Decode<'r, R::Database> + Type<R::Database>,
{
    row.try_get(at).map_err(corrupt_row::<R>)
}

impl Columns for SqliteRow {
    const DEPENDENCY: &'static str = "sqlite";

    fn text(&self, at: usize) -> Result<Option<&str>, Unavailable> {
        get(self, at)
    }

    fn lossy_text(&self, at: usize) -> Result<String, Unavailable> {
        // The bytes of the text, whatever they are.
        let bytes: &[u8] = self.try_get_unchecked(at).map_err(corrupt_row::<Self>)?;
        Ok(StoredEvent::text_of(bytes))
    }

    fn number(&self, at: usize) -> Result<Option<i64>, Unavailable> {
        get(self, at)
    }

    fn bytes(&self, at: usize) -> Result<Vec<u8>, Unavailable> {
        get(self, at)
    }

    fn flag(&self, at: usize) -> Result<bool, Unavailable> {
        get(self, at)
    }

    fn event_id(&self, at: usize) -> Result<Option<EventId>, Unavailable> {
        let bytes: Option<&[u8]> = get(self, at)?;
        bytes.map(|bytes| Uuid::from_slice(bytes).map(EventId)).transpose().map_err(corrupt_row::<Self>)
    }
}

impl Columns for PgRow {
    const DEPENDENCY: &'static str = "postgres";

    fn text(&self, at: usize) -> Result<Option<&str>, Unavailable> {
        get(self, at)
    }

    fn lossy_text(&self, at: usize) -> Result<String, Unavailable> {
        self.required_text(at).map(str::to_owned)
    }

    fn number(&self, at: usize) -> Result<Option<i64>, Unavailable> {
        get(self, at)
    }

    fn bytes(&self, at: usize) -> Result<Vec<u8>, Unavailable> {
        get(self, at)
    }

    fn flag(&self, at: usize) -> Result<bool, Unavailable> {
        get(self, at)
    }

    fn event_id(&self, at: usize) -> Result<Option<EventId>, Unavailable> {
        self.text(at)?.map(|text| text.parse().map(EventId)).transpose().map_err(corrupt_row::<Self>)
    }
}
