//! Reads the events of a SQLite store without the service's own code, as docs/audit.md says.

use sqlx::{Row as _, SqliteConnection};

const DICTIONARY: &[u8] = include_bytes!("../../../src/store/sqlite/dictionary/1.zdict");
/// The longest event.
const MAX_TEXT: usize = 65_535;

/// The position and the text of each event after a position.
pub(crate) async fn after(file: &mut SqliteConnection, seq: i64) -> sqlx::Result<Vec<(i64, String)>> {
    let query = sqlx::query("SELECT seq, body, packed FROM event WHERE seq > $1 ORDER BY seq").bind(seq);
    let rows = query.fetch_all(file).await?;
    let mut decompressor = zstd::bulk::Decompressor::with_dictionary(DICTIONARY).unwrap();
    let mut text = |row: &sqlx::sqlite::SqliteRow| match row.get::<Option<&[u8]>, _>(2) {
        None => row.get(1),
        Some(frame) => String::from_utf8(decompressor.decompress(frame, MAX_TEXT).unwrap()).unwrap(),
    };
    Ok(rows.iter().map(|row| (row.get(0), text(row))).collect())
}
