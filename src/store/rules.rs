//! Encryption rules in SQLite or PostgreSQL, behind three ports: the rules, the schedule of their evaluation,
//! and the repairs.

mod repairs;
mod schedule;
mod sql;
mod stored;
mod tables;

pub(super) use self::tables::RuleTables;
