//! The gRPC server: accepts connections, runs the middleware stack, and drains on shutdown.

mod acceptor;
pub mod admin;
mod auth_throttle;
pub mod authn;
mod connection;
mod connection_driver;
pub mod connection_limits;
mod convert;
mod error_normalizer;
mod flood_guard;
mod grpc;
mod load_shed;
mod middleware;
pub mod quota;
pub mod source;
pub mod stack;
mod status;
pub mod tls;
mod trace;

use std::{future::Future, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    codec::CompressionEncoding,
    service::{LayerExt as _, Routes},
};

pub use self::{connection_driver::ConnectionLifetime, status::DOMAIN};
use self::{
    connection_limits::ConnectionLimiter, grpc::GrpcHandler, load_shed::LoadShed, tls::Tls, trace::Trace,
};
use crate::{
    proto::{
        DESCRIPTORS, audit_service_server::AuditServiceServer,
        key_association_service_server::KeyAssociationServiceServer,
        tenant_service_server::TenantServiceServer,
    },
    service::{AuditQueries, ServiceState},
};

/// The longest message that is decoded, in bytes after decompression.
const MAX_MESSAGE: usize = 1024 * 1024;

/// The time that idle connections get to close.
const FLUSH_GRACE: Duration = Duration::from_millis(500);

/// The settings of the gRPC server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The longest time of a call, unless its client sets a shorter one.
    pub request_timeout: Duration,
    /// The time that calls in flight get to end after a shutdown begins.
    pub drain_timeout: Duration,
    /// Whether server reflection is enabled.
    pub reflection: bool,
    /// The maximum number of calls in flight, over all tenants.
    pub max_in_flight: usize,
    /// The maximum numbers of connections.
    pub connections: connection_limits::ConnectionLimits,
    /// The keepalive and the maximum age of each connection.
    pub lifetime: ConnectionLifetime,
    /// The networks whose `x-forwarded-for` is trusted.
    pub trusted_proxies: source::TrustedProxies,
}

/// What the gRPC server depends on.
#[derive(Clone, Debug)]
pub struct Services {
    /// The dependencies of the middleware layers.
    pub ports: stack::Ports,
    /// The state of the use cases.
    pub state: Arc<ServiceState>,
    /// The use cases that read the audit log.
    pub audit: AuditQueries,
    /// The certificates; `None` serves without TLS.
    pub tls: Option<Arc<Tls>>,
}

/// Why the server failed.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The reflection service cannot be built from the compiled descriptors.
    #[error("server reflection cannot be built from the compiled descriptors")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// Calls were still in flight when `drain_timeout` had passed.
    #[error("calls were still in flight after drain_timeout, and their connections were closed")]
    NotDrained,
}

/// Serves on `listener` until `shutdown` resolves, then drains: the server accepts no new connection, and
/// calls in flight get `drain_timeout` to end.
///
/// # Errors
///
/// [`ServeError::Reflection`] at start, [`ServeError::NotDrained`] if the drain takes too long.
pub async fn run(
    listener: TcpListener,
    config: Config,
    parts: Services,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let (health, reporter) = health().await;
    let calls = TaskTracker::new();
    let streams_end = CancellationToken::new();
    let handler = GrpcHandler::new(Arc::clone(&parts.state), parts.audit.clone(), streams_end.clone());
    let routes = router(&config, &parts.ports, handler, health)?;
    let connection_limits = ConnectionLimiter::new(config.connections, config.trusted_proxies.clone());
    let incoming = acceptor::connections(listener, parts.tls, connection_limits);
    let trace = Trace {
        request_timeout: config.request_timeout,
        trusted_proxies: config.trusted_proxies.clone(),
        calls: calls.clone(),
        lines: Arc::default(),
    };
    let stop = CancellationToken::new();
    let serving = connection_driver::connections(incoming, trace, routes, config.lifetime, stop.clone());
    let drained = async {
        shutdown.await;
        reporter.set_not_serving::<KeyAssociationServiceServer<GrpcHandler>>().await;
        reporter.set_not_serving::<TenantServiceServer<GrpcHandler>>().await;
        reporter.set_not_serving::<AuditServiceServer<GrpcHandler>>().await;
        reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
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

fn router<H>(
    config: &Config,
    ports: &stack::Ports,
    handler: GrpcHandler,
    health: H,
) -> Result<Routes, ServeError>
where
    H: tower::Service<
            http::Request<tonic::body::Body>,
            Response = http::Response<tonic::body::Body>,
            Error = std::convert::Infallible,
            Future: Send,
        > + tonic::server::NamedService
        + Clone
        + Send
        + Sync
        + 'static,
{
    let associations = KeyAssociationServiceServer::new(handler.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let audit = AuditServiceServer::new(handler.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let tenants = TenantServiceServer::new(handler)
        .max_decoding_message_size(MAX_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let guard = stack::request_stack(ports, LoadShed::new(config.max_in_flight, ports.authn.clone()));
    // Outside the guarded stack: a probe has no token.
    let mut routes = Routes::new(health)
        .add_service(guard.named_layer(associations))
        .add_service(guard.named_layer(audit))
        .add_service(guard.named_layer(tenants));
    if config.reflection {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // Some clients decode error details by reflection.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        routes = routes
            .add_service(reflection().build_v1().map_err(ServeError::Reflection)?)
            .add_service(reflection().build_v1alpha().map_err(ServeError::Reflection)?);
    }
    Ok(routes)
}

async fn health() -> (
    tonic_health::pb::health_server::HealthServer<impl tonic_health::pb::health_server::Health>,
    tonic_health::server::HealthReporter,
) {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_serving::<KeyAssociationServiceServer<GrpcHandler>>().await;
    reporter.set_serving::<TenantServiceServer<GrpcHandler>>().await;
    reporter.set_serving::<AuditServiceServer<GrpcHandler>>().await;
    (service, reporter)
}
