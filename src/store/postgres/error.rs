//! The errors of PostgreSQL, and its error codes
//! (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).

use std::io;

use crate::ports::Unavailable;

/// The table does not exist.
pub(super) const UNDEFINED_TABLE: &str = "42P01";

/// The classes and codes of errors that end a transaction before its commit: invalid data, a violated
/// constraint, a rollback, a missing object or privilege, insufficient resources, logkey's own codes, a lock
/// timeout, a statement timeout, a standby.
pub(super) const BEFORE_A_COMMIT: &[&str] =
    &["22", "23", "40001", "40P01", "42", "53", "LK", "55P03", "57014", "25006"];

/// Whether an error of the server has this code.
pub(super) fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|actual| actual == code)
}

/// The error for a failure of PostgreSQL.
pub(super) fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Unavailable {
    Unavailable { dependency: "postgres", source: Some(source.into()) }
}

/// A wait for the server took too long.
pub(super) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the server does not respond"))
}
