//! The server: where it is, and sessions on it that keep what they are told to keep.

use std::{io, path::PathBuf, str::FromStr as _, time::Duration};

use sqlx::{
    ConnectOptions as _, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};
use tokio::time;

use super::super::OpenError;

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// The oldest server whose sessions can be told to end when nothing comes from them.
const OLDEST: i64 = 140_000;

/// What sessions say of themselves and rely on, whatever the server's own defaults are.
const SETTINGS: &[(&str, &str)] = &[
    ("client_min_messages", "warning"),
    ("default_transaction_isolation", "read committed"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("jit", "off"),
    // A machine that vanished lets go of its locks within half a minute.
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// What the server is, and that commits of this session are on its disk; what is stronger stays.
const PROBE_SQL: &str = "\
SELECT current_setting('server_version_num')::bigint, current_setting('fsync') = 'on',
       current_setting('server_encoding') = 'UTF8', pg_is_in_recovery(),
       set_config('synchronous_commit',
           CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN 'on'
                ELSE current_setting('synchronous_commit') END, false)";

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolKind {
    /// Brings the schema up to date, also behind another process that does.
    Migrate,
    /// Commits of the journal.
    Write,
    /// Holds the lock of the one process that sequences; ends where nothing comes from it.
    Lead,
    /// Holds requests.
    Hold,
    /// Reads, and what is written beside the log.
    Beside,
    /// Reads and nothing else.
    Read,
}

/// Where the server is, and as whom.
#[derive(Clone)]
pub(super) struct Server {
    options: PgConnectOptions,
    name: PathBuf,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// What the client or the server said.
    #[error(transparent)]
    Failed(#[from] sqlx::Error),
    /// The server does not keep what it is told.
    #[error("the server {0}")]
    Unfit(&'static str),
}

// === impl Server ===

impl Server {
    /// From the URL of the settings.
    pub(super) fn new(url: &str) -> Result<Self, OpenError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_bad| OpenError::Url("not a URL that leads to a PostgreSQL server"))?;
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

    /// How it is called toward people: without anything secret.
    pub(super) fn name(&self) -> PathBuf {
        self.name.clone()
    }

    /// A session of its own.
    pub(super) async fn session(&self, purpose: PoolKind) -> Result<PgConnection, ConnectError> {
        let connected = time::timeout(CONNECT_WITHIN, async {
            let mut session = self.options(purpose).connect().await?;
            probe_server(&mut session).await?;
            Ok(session)
        });
        connected.await.unwrap_or_else(|_elapsed| Err(ConnectError::Failed(timed_out())))
    }

    /// Sessions that are made as they are needed.
    pub(super) fn pool(&self, purpose: PoolKind, max: u32) -> PgPool {
        let pool = PgPoolOptions::new().max_connections(max).acquire_timeout(CONNECT_WITHIN);
        let looked = pool.after_connect(|session, _| {
            Box::pin(async move {
                probe_server(session).await.map_err(|none| match none {
                    ConnectError::Failed(error) => error,
                    ConnectError::Unfit(_) => sqlx::Error::Configuration(Box::new(none)),
                })
            })
        });
        looked.connect_lazy_with(self.options(purpose))
    }

    /// What an error at the start means.
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
            PoolKind::Lead => &[("statement_timeout", "8s"), ("idle_session_timeout", "10s")],
            PoolKind::Hold | PoolKind::Beside => &[("statement_timeout", "30s"), ("lock_timeout", "5s")],
            PoolKind::Read => &[("statement_timeout", "300s")],
        };
        let writes = if purpose == PoolKind::Read { "on" } else { "off" };
        let options =
            self.options.clone().options(SETTINGS.iter().copied()).options(of_purpose.iter().copied());
        options.options([("default_transaction_read_only", writes)])
    }
}

async fn probe_server(session: &mut PgConnection) -> Result<(), ConnectError> {
    let row = sqlx::query(PROBE_SQL).fetch_one(session).await?;
    let is = |at: usize| row.try_get::<bool, _>(at);
    let unfit = if row.try_get::<i64, _>(0)? < OLDEST {
        "is older than PostgreSQL 14: run that or a later one"
    } else if !is(1)? {
        "runs with fsync = off, so that nothing it keeps is certain: set fsync = on"
    } else if !is(2)? {
        "has this database in another encoding than UTF8: make one WITH ENCODING 'UTF8' TEMPLATE template0"
    } else if is(3)? {
        "is a standby, which takes no writes: name the primary"
    } else {
        return Ok(());
    };
    Err(ConnectError::Unfit(unfit))
}

pub(super) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"))
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.name.display())
    }
}
