//! Serves each connection separately, until it reaches its maximum age, its peer disconnects, or the service
//! stops.

use std::{convert::Infallible, time::Duration};

use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{service::Routes, transport::Server};
use tonic_web::GrpcWebLayer;
use tower::layer::util::{Identity, Stack};

use super::{connection::Connection, middleware::MiddlewareLayer, trace::Trace};

/// The maximum number of calls in flight on one connection.
const MAX_STREAMS: u32 = 256;
/// The longest metadata that is read, in bytes as HTTP/2 counts them. [`authn`] accepts less; metadata
/// between the two limits is read so that the caller gets a message that explains the limit.
///
/// [`authn`]: super::authn
const MAX_METADATA: u32 = 96 * 1024;
/// The maximum number of streams that a client may reset before the server accepts them (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 64;
/// The maximum number of streams that the server resets for client errors before it closes the connection.
const MAX_LOCAL_RESETS: usize = 1024;
/// The flow control window of a stream, in bytes: one message.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// The flow control window of a connection, in bytes.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// The longest frame that a client may send, in bytes.
const MAX_FRAME: u32 = 16 * 1024;

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

/// The layers before all services; the innermost layer comes first.
type Layered = Stack<MiddlewareLayer<Trace>, Stack<GrpcWebLayer, Identity>>;

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

/// Serves incoming connections. When `stop` is cancelled, it takes no new ones, and serves the open ones
/// until their calls end.
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

/// Serves one connection until it closes or `end` is cancelled. Each connection has its own server, because
/// tonic sets the maximum age per server.
async fn serve_connection(
    connection: Connection,
    server: Server<Layered>,
    routes: Routes,
    age: Duration,
    end: CancellationToken,
) {
    // `pending` keeps the stream open: at the end of the stream, the server would shut down at once.
    let incoming = tokio_stream::once(Ok::<_, Infallible>(connection)).chain(tokio_stream::pending());
    let server = server.max_connection_age(age);
    if let Err(error) = server.serve_with_incoming_shutdown(routes, incoming, end.cancelled_owned()).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended with an error");
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
        // Outermost, so that every later layer gets only gRPC requests.
        .layer(GrpcWebLayer::new())
        .layer(MiddlewareLayer(trace))
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
