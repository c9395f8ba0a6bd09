//! The middleware of every call, in order from the outermost layer. Each comment gives the reason for the
//! position of its layer.

use std::{fmt, sync::Arc};

use grpc_edge::{CardinalityLayer, ConnectLayer, ContentTypeLayer, DrainLayer};
use http::HeaderValue;
use prost_reflect::DescriptorPool;
use tonic_web::GrpcWebLayer;
use tower::{
    ServiceBuilder,
    layer::util::{Identity, Stack},
};

use super::{
    auth_throttle::AuthFailureThrottle,
    authn::Authn,
    cors::{OptionalCors, cors},
    error_normalizer::NormalizeErrors,
    load_shed::LoadShed,
    middleware::MiddlewareLayer,
    open_calls::OpenCalls,
    quota::Quota,
    rejection::RejectionLog,
    trace::Trace,
};
use crate::{
    ports::{AuditLog, Clock, SnapshotSource, TenantQuota},
    server::message_limits::MAX_BULK_MESSAGE,
};

/// The dependencies of the layers.
#[derive(Clone)]
pub struct LayerPorts {
    /// The source of the snapshot that verifies the token.
    pub rules: Arc<dyn SnapshotSource>,
    /// The tenant quotas.
    pub quota: Arc<dyn TenantQuota>,
    /// Records rejections.
    pub audit: Arc<dyn AuditLog>,
    /// The clock for audit events.
    pub clock: Arc<dyn Clock>,
}

/// The layers of every request. In these types, the innermost layer comes first.
pub(in crate::server) type RequestStack = ServiceBuilder<
    Stack<
        CardinalityLayer,
        Stack<
            MiddlewareLayer<Trace>,
            Stack<
                GrpcWebLayer,
                Stack<
                    ConnectLayer,
                    Stack<ContentTypeLayer, Stack<OptionalCors, Stack<DrainLayer, Identity>>>,
                >,
            >,
        >,
    >,
>;

/// The layers of the calls that need a token.
pub(in crate::server) type CallStack = ServiceBuilder<
    Stack<
        MiddlewareLayer<NormalizeErrors>,
        Stack<
            MiddlewareLayer<Quota>,
            Stack<MiddlewareLayer<Authn>, Stack<MiddlewareLayer<LoadShed>, Identity>>,
        >,
    >,
>;

/// The layers of the calls that need no token: health probes and reflection.
pub(in crate::server) type OpenStack = ServiceBuilder<Stack<MiddlewareLayer<OpenCalls>, Identity>>;

/// Builds the layers of the calls that need no token; they follow those of [`request_stack`].
pub(in crate::server) fn open_stack() -> OpenStack {
    // Without a token there is no tenant to count for, so these calls have their own bounds.
    ServiceBuilder::new().layer(MiddlewareLayer(OpenCalls::default()))
}

/// Builds the layers of every request, also of health probes and reflection.
pub(in crate::server) fn request_stack(
    trace: Trace,
    pool: &DescriptorPool,
    allowed_origins: &[HeaderValue],
) -> RequestStack {
    ServiceBuilder::new()
        // First, because every other layer can answer before the body of the request was read.
        .layer(DrainLayer)
        // Before every layer that refuses, so that a page can read the refusals.
        .layer(cors(allowed_origins))
        // Next, because a request of another protocol has no gRPC client that could read a gRPC status.
        .layer(ContentTypeLayer)
        // The next two convert their protocol, so that every later layer gets only gRPC requests.
        .layer(ConnectLayer::new(pool.clone(), MAX_BULK_MESSAGE))
        .layer(GrpcWebLayer::new())
        // Before every layer that can reject, so that each rejection has a request id and is counted.
        .layer(MiddlewareLayer(trace))
        // Behind the conversions, because it counts messages of gRPC.
        .layer(CardinalityLayer::new(pool))
}

/// Builds the layers of the calls that need a token; they follow those of [`request_stack`].
pub(in crate::server) fn call_stack(ports: &LayerPorts, max_in_flight: usize) -> CallStack {
    let rejections = RejectionLog { audit: Arc::clone(&ports.audit), clock: Arc::clone(&ports.clock) };
    ServiceBuilder::new()
        // First, so that a rejected call costs almost nothing.
        .layer(MiddlewareLayer(LoadShed::new(max_in_flight, rejections.clone())))
        // Before everything that counts per tenant: only a verified signature proves the tenant.
        .layer(MiddlewareLayer(Authn {
            rules: Arc::clone(&ports.rules),
            rejections: rejections.clone(),
            auth_throttle: AuthFailureThrottle::default(),
        }))
        // After authentication, so that only authenticated callers use a tenant's quota; before the body is
        // read, so that a rejection is cheap.
        .layer(MiddlewareLayer(Quota { quota: Arc::clone(&ports.quota), rejections: rejections.clone() }))
        // Next to the handlers, because it inspects the errors of tonic's decoder.
        .layer(MiddlewareLayer(NormalizeErrors { rejections }))
}

// === impl LayerPorts ===

impl fmt::Debug for LayerPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerPorts").finish_non_exhaustive()
    }
}
