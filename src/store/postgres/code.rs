//! What PostgreSQL says went wrong (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).

/// There is no such table.
pub(super) const UNDEFINED_TABLE: &str = "42P01";

/// Classes and codes of errors that end a transaction before it is committed: bad data, a constraint, a
/// transaction that was rolled back, no such thing or no right to it, no resources, our own, a lock that was
/// not had in time, a statement that took too long, a standby.
pub(super) const BEFORE_A_COMMIT: &[&str] =
    &["22", "23", "40001", "40P01", "42", "53", "LK", "55P03", "57014", "25006"];

/// Whether an error of the server has this code.
pub(super) fn is(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|its| its == code)
}
