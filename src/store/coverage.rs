//! Coverage in SQLite or PostgreSQL.

mod diff;
mod read;
mod record;
mod rows;
mod sql;
mod tables;

pub(super) use self::tables::CoverageTables;
