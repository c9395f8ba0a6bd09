//! `[store]`: where the durable state is kept.

use std::str::FromStr as _;

use sqlx::sqlite::SqliteConnectOptions;

use super::{section::Section, tree::Node, value, value::Wrong};
use crate::store::Config;

/// Default of `store.url`.
const URL: &str = "sqlite://logkey.db";

/// Where the durable state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Of the store itself.
    pub config: Config,
}

/// Reads `[store]`.
pub(super) fn read(section: &Section<'_>) -> Option<Store> {
    let found = section.secret("url", "url_file", parse);
    let default = Store { config: Config { url: URL.to_owned() } };
    if section.has("url") || section.has("url_file") { found } else { Some(default) }
}

fn parse(node: &Node) -> Result<Store, Wrong> {
    let url = value::text(node)?;
    match url.split_once(':') {
        Some(("sqlite", _)) => {}
        Some(("postgres" | "postgresql", _)) => {
            return Err("is a PostgreSQL server, and this release keeps its state in SQLite only: write \
                        \"sqlite://logkey.db\""
                .to_owned());
        }
        _ => return Err("is not the URL of a store: write \"sqlite://logkey.db\"".to_owned()),
    }
    let in_memory = url.contains(":memory:") || url.contains("mode=memory");
    let file = SqliteConnectOptions::from_str(&url).ok().map(|options| options.get_filename().to_owned());
    if in_memory || file.is_none_or(|file| file.as_os_str().is_empty()) {
        return Err(
            "names no file, and the audit log has to outlast the process: write \"sqlite://logkey.db\" or \
                    \"sqlite:///var/lib/logkey/logkey.db\""
                .to_owned(),
        );
    }
    Ok(Store { config: Config { url } })
}
