//! A connection to the current Redis server, and the scripts that run over it.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, Script, ServerErrorKind,
    TlsCertificates, TlsMode,
    aio::MultiplexedConnection,
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};

use super::{
    CONNECT_TIMEOUT,
    address::{Address, Kind},
};

/// A connection; clones share it.
#[derive(Clone)]
pub(super) enum RedisConn {
    /// A connection to one server.
    One(MultiplexedConnection),
    /// A connection to the servers of a Cluster, each for its part of the keys.
    Cluster(Box<ClusterConnection>),
}

/// One run of a script.
#[derive(Debug)]
pub(super) struct ScriptCall<'a> {
    script: &'a Script,
    code: &'static str,
    keys: Vec<String>,
    arguments: Vec<String>,
}

// === impl RedisConn ===

impl RedisConn {
    /// Connects. Each attempt queries the Sentinels again, and `attempt` rotates the first one, because one
    /// of them may hang.
    pub(super) async fn connect(
        address: &Address,
        attempt: usize,
        response_timeout: Duration,
    ) -> Result<Self, RedisError> {
        let mut nodes = address.nodes.clone();
        let first = attempt.checked_rem(nodes.len()).unwrap_or(0);
        nodes.rotate_left(first);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        let certificates =
            address.ca.clone().map(|pem| TlsCertificates { client_tls: None, root_cert: Some(pem) });
        match &address.kind {
            Kind::One => {
                let Some(node) = nodes.into_iter().next() else { return Err(no_endpoint()) };
                let client = match certificates {
                    Some(certificates) if address.tls => Client::build_with_tls(node, certificates)?,
                    _ => Client::open(node)?,
                };
                client.get_multiplexed_async_connection_with_config(&config).await.map(Self::One)
            }
            Kind::Cluster => {
                let mut builder = ClusterClient::builder(nodes)
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(response_timeout)
                    .retries(3)
                    .min_retry_wait(1)
                    .max_retry_wait(5);
                if let Some(certificates) = certificates {
                    builder = builder.certs(certificates);
                }
                let connection = builder.build()?.get_async_connection().await?;
                Ok(Self::Cluster(Box::new(connection)))
            }
            Kind::Sentinel(name) => {
                let Some(settings) = nodes.first().map(|node| node.redis_settings().clone()) else {
                    return Err(no_endpoint());
                };
                let addresses = nodes.iter().map(|node| node.addr().clone());
                let mut builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)?
                    .set_client_to_redis_db(settings.db());
                if let Some(name) = settings.username() {
                    builder = builder.set_client_to_redis_username(name);
                }
                if let Some(password) = settings.password() {
                    builder = builder.set_client_to_redis_password(password);
                }
                if let Some(password) = &address.sentinel_password {
                    builder = builder.set_client_to_sentinel_password(password);
                }
                if address.tls {
                    builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
                }
                if let Some(certificates) = certificates {
                    builder = builder
                        .set_client_to_redis_certificates(certificates.clone())
                        .set_client_to_sentinel_certificates(certificates);
                }
                let mut client = builder.build()?;
                client.get_async_connection_with_config(&config).await.map(Self::One)
            }
        }
    }

    /// Runs a script. The text is sent only if the server does not have the script yet.
    pub(super) async fn eval<T: FromRedisValue>(&self, run: &ScriptCall<'_>) -> Result<T, RedisError> {
        match self.query(&run.command("EVALSHA", run.script.get_hash())).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(&run.command("EVAL", run.code)).await
            }
            response => response,
        }
    }

    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        match self.clone() {
            Self::One(mut connection) => command.query_async(&mut connection).await,
            Self::Cluster(mut connection) => command.query_async(&mut *connection).await,
        }
    }
}

fn no_endpoint() -> RedisError {
    (ErrorKind::InvalidClientConfig, "the URL has no address").into()
}

// === impl ScriptCall ===

impl<'a> ScriptCall<'a> {
    /// Creates a call. All keys must belong to one hash slot of a Cluster.
    pub(super) fn new(script: &'a Script, code: &'static str, keys: Vec<String>) -> Self {
        Self { script, code, keys, arguments: Vec::new() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "almost all arguments are numbers")]
    pub(super) fn arg(mut self, argument: impl ToString) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    fn command(&self, name: &'static str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}
