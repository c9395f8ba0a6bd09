//! Serves each connection separately, until it reaches its maximum age, its peer disconnects, or the service
//! stops.

use std::{future::Future, time::Duration};

use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::connection::Connection;

/// The keepalive and the maximum age of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLifetime {
    /// The interval of keepalive PINGs.
    pub keepalive_interval: Duration,
    /// How long the peer may take to acknowledge a PING.
    pub keepalive_timeout: Duration,
    /// The maximum age of a connection, so that callers spread over new replicas. Each connection gets up to
    /// a fifth more, so that they do not all close at once.
    pub max_age: Duration,
}

/// A connection to serve.
#[derive(Debug)]
pub(in crate::server) struct OpenConnection {
    pub(in crate::server) connection: Connection,
    /// The age at which the server closes the connection gracefully.
    pub(in crate::server) max_age: Duration,
    /// Cancelled when the peer disconnects or the service stops.
    pub(in crate::server) end: CancellationToken,
}

// === impl ConnectionLifetime ===

impl ConnectionLifetime {
    /// How long a peer may be silent.
    fn keepalive_deadline(&self) -> Duration {
        self.keepalive_interval + self.keepalive_timeout
    }

    /// The maximum age of the next connection.
    fn with_jitter(&self) -> Duration {
        self.max_age.mul_f64(1.0 + 0.2 * rand::random::<f64>())
    }
}

impl Default for ConnectionLifetime {
    fn default() -> Self {
        Self {
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            max_age: Duration::from_mins(30),
        }
    }
}

/// Serves incoming connections with `serve`. When `stop` is cancelled, it takes no new ones, and serves the
/// open ones until their calls end.
pub(in crate::server) async fn serve_each<F>(
    mut incoming: ReceiverStream<Connection>,
    lifetime: ConnectionLifetime,
    stop: CancellationToken,
    serve: impl Fn(OpenConnection) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let connections = TaskTracker::new();
    while let Some(Some(connection)) = stop.run_until_cancelled(incoming.next()).await {
        let end = stop.child_token();
        let connection = connection.with_close_guard(end.clone().drop_guard(), lifetime.keepalive_deadline());
        connections.spawn(serve(OpenConnection { connection, max_age: lifetime.with_jitter(), end }));
    }
    drop(incoming);
    connections.close();
    connections.wait().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_different_ages_of_up_to_a_fifth_more() {
        let lifetime = ConnectionLifetime::default();
        let mut ages: Vec<_> = (0..1_000).map(|_| lifetime.with_jitter()).collect();
        ages.sort_unstable();
        ages.dedup();
        assert!(ages.len() > 900, "{}", ages.len());
        let fifth = lifetime.max_age / 5;
        assert!(ages.iter().all(|age| (lifetime.max_age..=lifetime.max_age + fifth).contains(age)));
        assert!(ages[ages.len() - 1] > ages[0] + fifth / 2);
    }
}
