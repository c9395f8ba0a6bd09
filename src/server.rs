//! The gRPC face: accepts connections, runs the stack, drains on request.

pub mod admin;
pub mod authn;
mod body;
mod convert;
pub mod doorway;
mod frames;
mod grpc;
mod listen;
mod load;
mod peer;
pub mod quota;
pub mod source;
pub mod stack;
mod status;
mod step;
mod strangers;
pub mod tls;
mod trace;

use std::{future::Future, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    codec::CompressionEncoding,
    service::LayerExt as _,
    transport::{Server, server::Router},
};
use tonic_web::GrpcWebLayer;
use tower::layer::util::{Identity, Stack};

pub use self::status::DOMAIN;
use self::{doorway::Doorway, grpc::Handler, load::Load, step::StepLayer, tls::Tls, trace::Trace};
use crate::{
    proto::{
        DESCRIPTORS, audit_service_server::AuditServiceServer,
        key_association_service_server::KeyAssociationServiceServer,
        tenant_service_server::TenantServiceServer,
    },
    service::{AuditReads, KeyBroker},
};

/// Longest message read, in bytes, after decompression.
const MAX_MESSAGE: usize = 1024 * 1024;
/// Calls that one connection may have under way.
const MAX_STREAMS: u32 = 256;
/// Longest block of metadata read, in bytes, as HTTP/2 counts it. A block over what is taken
/// ([`authn`]) is read all the same up to here, so that its sender is told in words.
const MAX_METADATA: u32 = 96 * 1024;
/// Streams that a client may reset before they were looked at (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 64;
/// Streams that may be reset for faults of the client's before the connection is closed.
const MAX_LOCAL_RESETS: usize = 1024;
/// How often a silent connection is asked whether it lives.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a stream may come unasked: a message.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// How much of a connection may come unasked.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Longest frame that may come.
const MAX_FRAME: u32 = 16 * 1024;
/// How old a connection gets, so that callers spread over replicas that came later; each process adds
/// up to a fifth, so that not all say goodbye at once.
const AGE: Duration = Duration::from_mins(30);

/// How long connections without calls may take to close.
const LAST_BYTES: Duration = Duration::from_millis(500);

/// Settings of the gRPC face.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The longest a call may take, where its client sets no shorter limit.
    pub request_timeout: Duration,
    /// How long calls under way may take to end once the service is asked to stop.
    pub drain_timeout: Duration,
    /// Whether server reflection answers.
    pub reflection: bool,
    /// Calls that may be under way at once, of all tenants.
    pub max_in_flight: usize,
    /// How many connections may stand.
    pub connections: doorway::Connections,
    /// Networks whose `x-forwarded-for` is believed.
    pub trusted_proxies: source::TrustedProxies,
}

/// What the gRPC face stands on.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What the layers need.
    pub ports: stack::Ports,
    /// The use cases.
    pub broker: KeyBroker,
    /// The audit log, for reading.
    pub audit: AuditReads,
    /// Certificates; none is plain text.
    pub tls: Option<Arc<Tls>>,
}

/// Why serving ended.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The reflection service could not be built from our own descriptors.
    #[error("server reflection cannot be built")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The transport stopped before it was asked to.
    #[error("the gRPC transport failed")]
    Transport(#[source] tonic::transport::Error),
    /// Calls were still under way when `drain_timeout` was over.
    #[error("calls were still under way after drain_timeout; their connections were cut")]
    NotDrained,
}

type Layered = Stack<StepLayer<Trace>, Stack<GrpcWebLayer, Identity>>;

/// Serves on `listener` until `shutdown` resolves, then drains: no new connection is taken, and calls
/// under way may end within `drain_timeout`.
///
/// # Errors
///
/// [`ServeError`].
pub async fn run(
    listener: TcpListener,
    config: Config,
    parts: Parts,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let (health, reporter) = health().await;
    let calls = TaskTracker::new();
    let streams_end = CancellationToken::new();
    let handler = Handler::new(parts.broker.clone(), parts.audit.clone(), streams_end.clone());
    let router = router(&config, &parts.ports, handler, &calls, health)?;
    let doorway = Doorway::new(config.connections, config.trusted_proxies.clone());
    let incoming = listen::connections(listener, parts.tls, doorway);
    let (stopping, stopped) = oneshot::channel();
    let serving = router.serve_with_incoming_shutdown(incoming, async {
        shutdown.await;
        reporter.set_not_serving::<KeyAssociationServiceServer<Handler>>().await;
        reporter.set_not_serving::<TenantServiceServer<Handler>>().await;
        reporter.set_not_serving::<AuditServiceServer<Handler>>().await;
        reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        streams_end.cancel();
        let _ = stopping.send(());
    });
    let drained = async {
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
        calls.close();
        let ended = tokio::time::timeout(config.drain_timeout, calls.wait()).await;
        // Clients who keep a connection without calls do not keep the service.
        tokio::time::sleep(LAST_BYTES).await;
        ended.map_err(|_elapsed| ServeError::NotDrained)
    };
    tokio::select! {
        served = serving => served.map_err(ServeError::Transport),
        drained = drained => drained,
    }
}

fn router<H>(
    config: &Config,
    ports: &stack::Ports,
    handler: Handler,
    calls: &TaskTracker,
    health: H,
) -> Result<Router<Layered>, ServeError>
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
    let guard = stack::guard(ports, Load::new(config.max_in_flight));
    let mut router = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_METADATA)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_LOCAL_RESETS))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_connection_age(AGE.mul_f64(1.0 + 0.2 * rand::random::<f64>()))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        // Outermost, so that everything after it sees gRPC only.
        .layer(GrpcWebLayer::new())
        .layer(StepLayer(Trace {
            request_timeout: config.request_timeout,
            trusted_proxies: config.trusted_proxies.clone(),
            calls: calls.clone(),
            lines: Arc::default(),
        }))
        // Outside the guard: a probe has no token.
        .add_service(health)
        .add_service(guard.named_layer(associations))
        .add_service(guard.named_layer(audit))
        .add_service(guard.named_layer(tenants));
    if config.reflection {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // For clients that decode the details of errors by reflection.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        router = router
            .add_service(reflection().build_v1().map_err(ServeError::Reflection)?)
            .add_service(reflection().build_v1alpha().map_err(ServeError::Reflection)?);
    }
    Ok(router)
}

async fn health() -> (
    tonic_health::pb::health_server::HealthServer<impl tonic_health::pb::health_server::Health>,
    tonic_health::server::HealthReporter,
) {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_serving::<KeyAssociationServiceServer<Handler>>().await;
    reporter.set_serving::<TenantServiceServer<Handler>>().await;
    reporter.set_serving::<AuditServiceServer<Handler>>().await;
    (service, reporter)
}
