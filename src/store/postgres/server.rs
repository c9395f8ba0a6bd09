//! Connects to the server. Every session is checked, so that its commits are durable.

use std::{path::PathBuf, str::FromStr as _, time::Duration};

use sqlx::{
    ConnectOptions as _, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};
use tokio::time;

use super::error::timed_out;
use crate::store::error::OpenError;

/// The maximum duration of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The oldest version of the server that supports `idle_session_timeout`.
const MIN_VERSION: i64 = 140_000;

/// The settings of every session, regardless of the server's defaults.
const SETTINGS: &[(&str, &str)] = &[
    ("client_min_messages", "warning"),
    ("default_transaction_isolation", "read committed"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("jit", "off"),
    // The server releases the locks of a machine that is gone within half a minute.
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// Reads the properties of the server and makes the commits of the session durable. A stronger setting stays.
const PROBE_SQL: &str = "\
SELECT current_setting('server_version_num')::bigint, current_setting('fsync') = 'on',
       current_setting('server_encoding') = 'UTF8', pg_is_in_recovery(),
       set_config('synchronous_commit',
           CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN 'on'
                ELSE current_setting('synchronous_commit') END, false)";

/// The purpose of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolKind {
    /// Upgrades the schema, and waits for another process that does.
    Migrate,
    /// Commits the batches of the journal.
    Write,
    /// Holds the lock of the leader. The server ends it if it is idle.
    Leader,
    /// Holds the locks of requests.
    Locks,
    /// Reads, and writes data outside the journal.
    ReadWrite,
    /// Only reads.
    Read,
}

/// The address of the server, the database and the credentials.
#[derive(Clone)]
pub(super) struct Server {
    options: PgConnectOptions,
    name: PathBuf,
}

/// Why a session could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The error of the client or the server.
    #[error(transparent)]
    Failed(#[from] sqlx::Error),
    /// The server is not suitable. The text continues "the server".
    #[error("the server {0}")]
    Unfit(&'static str),
}

// === impl Server ===

impl Server {
    /// Parses the URL of the settings.
    pub(super) fn new(url: &str) -> Result<Self, OpenError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_bad| OpenError::Url("it is not a valid PostgreSQL URL"))?;
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        let name = PathBuf::from(format!("postgres://{host}/{database}"));
        let options = if options.get_application_name().is_some() {
            options
        } else {
            options.application_name("logkey")
        };
        Ok(Self { options, name })
    }

    /// The name in messages, without secrets.
    pub(super) fn name(&self) -> PathBuf {
        self.name.clone()
    }

    /// Opens a session outside a pool.
    pub(super) async fn session(&self, purpose: PoolKind) -> Result<PgConnection, ConnectError> {
        let connected = time::timeout(CONNECT_TIMEOUT, async {
            let mut session = self.options(purpose).connect().await?;
            probe_server(&mut session).await?;
            Ok(session)
        });
        connected.await.unwrap_or_else(|_elapsed| Err(ConnectError::Failed(timed_out())))
    }

    /// A pool that opens sessions when they are needed.
    pub(super) fn pool(&self, purpose: PoolKind, max: u32) -> PgPool {
        let options = PgPoolOptions::new().max_connections(max).acquire_timeout(CONNECT_TIMEOUT);
        let probed = options.after_connect(|session, _| {
            Box::pin(async move {
                probe_server(session).await.map_err(|error| match error {
                    ConnectError::Failed(source) => source,
                    ConnectError::Unfit(_) => sqlx::Error::Configuration(Box::new(error)),
                })
            })
        });
        probed.connect_lazy_with(self.options(purpose))
    }

    /// The [`OpenError`] for a failed connection.
    pub(super) fn error_for(&self, reason: ConnectError) -> OpenError {
        match reason {
            ConnectError::Failed(source) => OpenError::Failed { path: self.name(), source },
            ConnectError::Unfit(reason) => OpenError::Unfit { path: self.name(), reason },
        }
    }

    fn options(&self, purpose: PoolKind) -> PgConnectOptions {
        let of_purpose: &[(&str, &str)] = match purpose {
            PoolKind::Migrate => &[("statement_timeout", "0"), ("lock_timeout", "60s")],
            PoolKind::Write => &[("statement_timeout", "8s"), ("lock_timeout", "5s")],
            PoolKind::Leader => &[("statement_timeout", "8s"), ("idle_session_timeout", "10s")],
            PoolKind::Locks | PoolKind::ReadWrite => &[("statement_timeout", "30s"), ("lock_timeout", "5s")],
            PoolKind::Read => &[("statement_timeout", "300s")],
        };
        let read_only = if purpose == PoolKind::Read { "on" } else { "off" };
        let options =
            self.options.clone().options(SETTINGS.iter().copied()).options(of_purpose.iter().copied());
        options.options([("default_transaction_read_only", read_only)])
    }
}

async fn probe_server(session: &mut PgConnection) -> Result<(), ConnectError> {
    let row = sqlx::query(PROBE_SQL).fetch_one(session).await?;
    let is = |at: usize| row.try_get::<bool, _>(at);
    let unfit = if row.try_get::<i64, _>(0)? < MIN_VERSION {
        "is older than PostgreSQL 14; use PostgreSQL 14 or later"
    } else if !is(1)? {
        "runs with fsync = off, so its commits are not durable; set fsync = on"
    } else if !is(2)? {
        "has an encoding other than UTF8 for this database; create a database WITH ENCODING 'UTF8' TEMPLATE template0"
    } else if is(3)? {
        "is a standby, which accepts no writes; set the primary in [store] url"
    } else {
        return Ok(());
    };
    Err(ConnectError::Unfit(unfit))
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.name.display())
    }
}
