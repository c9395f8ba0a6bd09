//! A connection to the current Redis server.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind,
    TlsCertificates, TlsMode,
    aio::MultiplexedConnection,
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};

use super::{
    address::{Address, Kind},
    scripts::ScriptCall,
};

/// The timeout of connecting.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection; clones share it.
#[derive(Clone)]
pub(super) enum RedisConn {
    /// A connection to one server.
    One(MultiplexedConnection),
    /// A connection to the servers of a Cluster, each for its part of the keys.
    Cluster(Box<ClusterConnection>),
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
        match self.query(&run.by_hash()).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(&run.by_text()).await
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
