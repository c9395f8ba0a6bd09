//! Serves each connection for itself, until it is of age, its peer is gone, or the service stops.

use std::{convert::Infallible, time::Duration};

use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{service::Routes, transport::Server};
use tonic_web::GrpcWebLayer;
use tower::layer::util::{Identity, Stack};

use super::{connection::Connection, middleware::MiddlewareLayer, trace::Trace};

/// Calls that one connection may have under way.
const MAX_STREAMS: u32 = 256;
/// Longest block of metadata read, in bytes, as HTTP/2 counts it. A block over what is taken
/// ([`authn`]) is read all the same up to here, so that its sender is told in words.
///
/// [`authn`]: super::authn
const MAX_METADATA: u32 = 96 * 1024;
/// Streams that a client may reset before they were looked at (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 64;
/// Streams that may be reset for faults of the client's before the connection is closed.
const MAX_LOCAL_RESETS: usize = 1024;
/// How much of a stream may come unasked: a message.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// How much of a connection may come unasked.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Longest frame that may come.
const MAX_FRAME: u32 = 16 * 1024;

/// How long a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLifetime {
    /// How often a silent connection is asked whether it lives.
    pub keepalive_interval: Duration,
    /// How long it may take to say so.
    pub keepalive_timeout: Duration,
    /// How old a connection gets, so that callers spread over replicas that came later; each one gets
    /// up to a fifth older, so that not all say goodbye at once.
    pub max_age: Duration,
}

/// What stands before all services, innermost type first.
type Layered = Stack<MiddlewareLayer<Trace>, Stack<GrpcWebLayer, Identity>>;

// === impl Lifetime ===

impl ConnectionLifetime {
    /// How long a peer may be one that nothing is heard of.
    fn keepalive_deadline(&self) -> Duration {
        self.keepalive_interval + self.keepalive_timeout
    }

    /// How old the next connection gets.
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

/// Serves connections as they come. When `stop` is cancelled no more are taken, and those that stand are
/// served until their calls ended.
pub(super) async fn connections(
    mut incoming: ReceiverStream<Connection>,
    trace: Trace,
    routes: Routes,
    lifetime: ConnectionLifetime,
    stop: CancellationToken,
) {
    let (server, routes) = (server(trace, lifetime), routes.prepare());
    let connections = TaskTracker::new();
    while let Some(Some(connection)) = stop.run_until_cancelled(incoming.next()).await {
        let end = stop.child_token();
        let connection = connection.with_close_guard(end.clone().drop_guard(), lifetime.keepalive_deadline());
        connections.spawn(serve_connection(
            connection,
            server.clone(),
            routes.clone(),
            lifetime.with_jitter(),
            end,
        ));
    }
    drop(incoming);
    connections.close();
    connections.wait().await;
}

/// Serves one connection until it is gone, or `end` says so earlier. It has a server of its own, since that
/// is what tonic gives an age to.
async fn serve_connection(
    connection: Connection,
    server: Server<Layered>,
    routes: Routes,
    age: Duration,
    end: CancellationToken,
) {
    // Were there no more to come, the server would say goodbye at once.
    let incoming = tokio_stream::once(Ok::<_, Infallible>(connection)).chain(tokio_stream::pending());
    let server = server.max_connection_age(age);
    if let Err(error) = server.serve_with_incoming_shutdown(routes, incoming, end.cancelled_owned()).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection could not be served");
    }
}

fn server(trace: Trace, lifetime: ConnectionLifetime) -> Server<Layered> {
    Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_METADATA)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_LOCAL_RESETS))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .http2_keepalive_interval(Some(lifetime.keepalive_interval))
        .http2_keepalive_timeout(Some(lifetime.keepalive_timeout))
        // Outermost, so that everything after it sees gRPC only.
        .layer(GrpcWebLayer::new())
        .layer(MiddlewareLayer(trace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_gets_an_age_of_its_own_up_to_a_fifth_more() {
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
