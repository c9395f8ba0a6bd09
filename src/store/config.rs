//! The location of the store.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::sqlite;

/// The location of the store.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// `sqlite://PATH` or `postgres://…`. It may contain a password, so `Debug` hides it.
    pub url: String,
}

// === impl Config ===

impl Config {
    /// A SQLite store in this file.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        let path = path.display().to_string().replace('%', "%25").replace('?', "%3F");
        Self { url: format!("sqlite://{path}") }
    }

    /// Whether several processes can share the store.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        ["postgres:", "postgresql:"].iter().any(|scheme| self.url.starts_with(scheme))
    }

    /// The database file, in whose folder the other files of the log are. `None` for a server.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        sqlite::path(&self.url).ok()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.split(':').next().unwrap_or_default();
        write!(f, "Config({scheme}:…)")
    }
}
