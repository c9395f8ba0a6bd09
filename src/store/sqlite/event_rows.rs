//! Reads events from rows whose first columns are `seq`, `body` and `packed`.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{error::failed, packed_event::Unpacker};
use crate::{
    ports::{StoredEvent, Unavailable},
    store::columns::Columns as _,
};

/// The events in these rows, in their order.
pub(super) fn events(rows: &[SqliteRow]) -> Result<Vec<StoredEvent>, Unavailable> {
    let mut unpacker = Unpacker::new();
    rows.iter().map(|row| event(row, &mut unpacker)).collect()
}

/// The event in this row.
pub(super) fn event(row: &SqliteRow, unpacker: &mut Unpacker) -> Result<StoredEvent, Unavailable> {
    // The bytes of both columns, whatever their type is.
    let body: Option<&[u8]> = row.try_get_unchecked(1).map_err(failed)?;
    let packed: Option<&[u8]> = row.try_get_unchecked(2).map_err(failed)?;
    let body = unpacker.text(body.unwrap_or_default(), packed);
    Ok(StoredEvent::parse(row.unsigned(0)?, body))
}
