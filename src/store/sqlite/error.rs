//! The errors of SQLite as the ports have them.

use crate::ports::Unavailable;

/// The error for a failure of SQLite.
pub(super) fn unavailable(source: Option<sqlx::Error>) -> Unavailable {
    Unavailable { dependency: "sqlite", source: source.map(Into::into) }
}

pub(super) fn failed(source: sqlx::Error) -> Unavailable {
    unavailable(Some(source))
}

pub(super) fn garbled(source: impl std::error::Error + Send + Sync + 'static) -> Unavailable {
    Unavailable { dependency: "sqlite", source: Some(Box::new(source)) }
}
