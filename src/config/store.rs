//! `[store]`: the database of the audit log and of all other durable state.

use std::str::FromStr as _;

use sqlx::{
    postgres::{PgConnectOptions, PgSslMode},
    sqlite::SqliteConnectOptions,
};
use url::Url;

use super::{
    limits::{LimitBackend, LimitSettings},
    section::Section,
    tree::Node,
    value,
    value::ValueError,
};
use crate::store::Config;

/// Default of `store.url`.
const URL: &str = "sqlite://logkey.db";

/// The settings of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The URL of the store, including its password.
    pub config: Config,
}

/// The parameters that the URL of a server may have after its question mark.
const PARAMETERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// Reads `[store]`.
pub(super) fn read(section: &Section<'_>) -> Option<Store> {
    let configured = section.secret("url", "url_file", parse);
    let password = section.secret_text("password_file");
    let default = Store { config: Config { url: URL.to_owned() } };
    let store = if section.has("url") || section.has("url_file") { configured? } else { default };
    Some(with_password(section, store, password))
}

/// Adds the password from `password_file` to the URL.
fn with_password(section: &Section<'_>, store: Store, password: Option<String>) -> Store {
    let Some(password) = password else {
        return store;
    };
    let Some(mut url) = server(&store.config.url) else {
        section.report("password_file", "has no effect, because url does not name a server: omit it");
        return store;
    };
    if url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password") {
        section.report("password_file", "and a password in url are both set: keep one of them");
        return store;
    }
    url.query_pairs_mut().append_pair("password", &password);
    Store { config: Config { url: url.into() } }
}

/// Trusts the authorities in this file, unless the URL names others.
pub(super) fn trust(store: &mut Store, file: &str) {
    let Some(mut url) = server(&store.config.url) else { return };
    if !url.query_pairs().any(|(name, _)| name == "sslrootcert") {
        url.query_pairs_mut().append_pair("sslrootcert", file);
        store.config.url = url.into();
    }
}

/// The parsed URL; `None` if it is not that of a PostgreSQL server.
fn server(url: &str) -> Option<Url> {
    Url::parse(url).ok().filter(|url| ["postgres", "postgresql"].contains(&url.scheme()))
}

fn parse(node: &Node) -> Result<Store, ValueError> {
    let url = value::text(node)?;
    match url.split_once(':') {
        Some(("sqlite", _)) => file(&url)?,
        Some(("postgres" | "postgresql", _)) => shared(&url)?,
        _ => {
            return Err("is not the URL of a store: write \"sqlite://logkey.db\", or \
                        \"postgres://logkey@db.example.com/logkey?sslmode=verify-full\""
                .to_owned());
        }
    }
    Ok(Store { config: Config { url } })
}

/// Checks the URL of a SQLite file.
fn file(url: &str) -> Result<(), ValueError> {
    let in_memory = url.contains(":memory:") || url.contains("mode=memory");
    let file = SqliteConnectOptions::from_str(url).ok().map(|options| options.get_filename().to_owned());
    if in_memory || file.is_none_or(|file| file.as_os_str().is_empty()) {
        return Err(
            "names no file, but the audit log must outlast the process: write \"sqlite://logkey.db\" or \
                    \"sqlite:///var/lib/logkey/logkey.db\""
                .to_owned(),
        );
    }
    Ok(())
}

/// Checks the URL of a PostgreSQL server.
fn shared(url: &str) -> Result<(), ValueError> {
    let example = "write for example \"postgres://logkey@db.example.com/logkey?sslmode=verify-full\"";
    let Some(parsed) = server(url) else {
        return Err(format!("is not the URL of a PostgreSQL server: {example}"));
    };
    let is_known = |name: &str| PARAMETERS.contains(&name) || name.starts_with("options[");
    if parsed.query_pairs().any(|(name, _)| !is_known(&name)) {
        return Err(format!(
            "has an unknown parameter after its question mark: expected {}",
            PARAMETERS.join(", ")
        ));
    }
    match PgConnectOptions::from_str(url) {
        Ok(_) => Ok(()),
        Err(_unreadable) => Err(format!("is not a URL that a PostgreSQL client understands: {example}")),
    }
}

/// Warns about replicas that share the store but count limits separately.
pub(super) fn check_limits(store: Option<&Store>, limits: &LimitSettings, section: &Section<'_>) {
    if limits.backend == LimitBackend::Local && store.is_some_and(|store| store.config.is_shared()) {
        section.warn(
            "backend",
            "is \"local\", but replicas can share this store: each replica would count tenants' limits and AWS's \
             quotas separately, and AWS would throttle. Write for example \"redis://redis.example.com:6379\"",
        );
    }
}

/// Checks what a shared store needs: a configured checkpoint key, and an encrypted connection.
pub(super) fn check(section: &Section<'_>, store: Option<&Store>, audit: &Section<'_>) {
    let Some(store) = store.filter(|store| store.config.is_shared()) else { return };
    if !audit.has("checkpoint_key_file") {
        audit.missing(
            "checkpoint_key_file",
            "\"/etc/logkey/checkpoint.pem\": with PostgreSQL every replica signs with the same key, created with \
             openssl genpkey -algorithm ed25519",
        );
    }
    let Ok(options) = PgConnectOptions::from_str(&store.config.url) else { return };
    let local = options.get_socket().is_some()
        || ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&options.get_host());
    if !local && !matches!(options.get_ssl_mode(), PgSslMode::VerifyFull | PgSslMode::VerifyCa) {
        let key = if section.has("url_file") { "url_file" } else { "url" };
        section.warn(
            key,
            "names another machine, whose certificate is not checked: add ?sslmode=verify-full, and \
             &sslrootcert=FILE for a private certificate authority",
        );
    }
}
