//! Runs the gRPC server: accepts connections, serves each one with the layers and the services, and drains on
//! shutdown.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{service::Routes, transport::Server};
use tower::layer::util::{Identity, Stack};

use super::{
    config::Config,
    grpc::{handler::GrpcHandler, status},
    health,
    layers::{
        stack::{LayerPorts, RequestStack, request_stack},
        trace::Trace,
    },
    readiness::Readiness,
    routes::{descriptors, routes},
    transport::{
        acceptor,
        connection_driver::{self, OpenConnection},
        connection_limits::ConnectionLimiter,
        http2,
        tls::Tls,
    },
};
use crate::service::{AuditQueries, CoverageQueries, Fleet, ServiceState};

/// The time that idle connections get to close.
const FLUSH_GRACE: Duration = Duration::from_millis(500);

/// What the gRPC server depends on.
#[derive(Clone, Debug)]
pub struct Services {
    /// The dependencies of the middleware layers.
    pub ports: LayerPorts,
    /// The state of the use cases.
    pub state: Arc<ServiceState>,
    /// The use cases that read the audit log.
    pub audit: AuditQueries,
    /// The use cases of bulk jobs.
    pub fleet: Fleet,
    /// The use cases that read coverage.
    pub coverage: CoverageQueries,
    /// The certificates; `None` serves without TLS.
    pub tls: Option<Arc<Tls>>,
    /// Whether `logkey_requests_total` has the tenant as a label.
    pub tenant_label: bool,
    /// Whether the service can serve calls, for health checks.
    pub readiness: Arc<Readiness>,
}

/// Why the server failed.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The compiled descriptors of the methods cannot be read.
    #[error("the compiled descriptors of the methods cannot be read")]
    Descriptors(#[source] prost_reflect::DescriptorError),
    /// Calls were still in flight when `drain_timeout` had passed.
    #[error("calls were still in flight after drain_timeout, and their connections were closed")]
    NotDrained,
}

/// Serves on `listener` until `shutdown` resolves. Then it reports at once that it is not ready, and still accepts
/// connections and calls for `drain_delay`, so that load balancers can stop sending them. Then it drains: it
/// accepts no new connection, and calls in flight get `drain_timeout` to end.
///
/// # Errors
///
/// [`ServeError::Descriptors`] at start, [`ServeError::NotDrained`] if the drain takes too long.
pub async fn run(
    listener: TcpListener,
    config: Config,
    parts: Services,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    config.documentation_url.iter().for_each(status::set_documentation_url);
    let readiness = Arc::clone(&parts.readiness);
    readiness.report();
    let health = health::service(readiness.watch());
    let calls = TaskTracker::new();
    let streams_end = CancellationToken::new();
    let handler = GrpcHandler::new(
        Arc::clone(&parts.state),
        parts.audit.clone(),
        parts.fleet.clone(),
        parts.coverage.clone(),
        streams_end.clone(),
    );
    let routes = routes(&config, &parts.ports, handler, health).map_err(ServeError::Descriptors)?.prepare();
    let limiter = ConnectionLimiter::new(config.connections, config.trusted_proxies.clone());
    let incoming = acceptor::connections(listener, parts.tls, limiter);
    let trace = Trace::new(config.request_timeout, config.trusted_proxies.clone(), calls.clone())
        .count_tenants(parts.tenant_label);
    let pool = descriptors().map_err(ServeError::Descriptors)?;
    let stack = request_stack(trace, &pool, &config.allowed_origins);
    let server = http2::server(config.lifetime).layer(stack);
    let stop = CancellationToken::new();
    let serving = connection_driver::serve_each(incoming, config.lifetime, stop.clone(), |connection| {
        serve_connection(connection, server.clone(), routes.clone())
    });
    let drained = async {
        shutdown.await;
        readiness.begin_draining();
        tokio::time::sleep(config.drain_delay).await;
        tracing::info!("no new calls are accepted; calls in flight may finish");
        streams_end.cancel();
        stop.cancel();
        calls.close();
        let drained = tokio::time::timeout(config.drain_timeout, calls.wait()).await;
        // An idle connection that a client keeps open does not delay the shutdown further.
        tokio::time::sleep(FLUSH_GRACE).await;
        drained.map_err(|_elapsed| ServeError::NotDrained)
    };
    tokio::select! {
        () = serving => Ok(()),
        drained = drained => drained,
    }
}

/// Serves one connection until it closes or the service stops. Each connection has its own server, because
/// tonic sets the maximum age per server.
async fn serve_connection(
    open: OpenConnection,
    server: Server<Stack<RequestStack, Identity>>,
    routes: Routes,
) {
    let OpenConnection { connection, max_age, end } = open;
    // `pending` keeps the stream open: at the end of the stream, the server would shut down at once.
    let incoming = tokio_stream::once(Ok::<_, Infallible>(connection)).chain(tokio_stream::pending());
    let server = server.max_connection_age(max_age);
    if let Err(error) = server.serve_with_incoming_shutdown(routes, incoming, end.cancelled_owned()).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended with an error");
    }
}
