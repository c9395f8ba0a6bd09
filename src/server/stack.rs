//! The middleware stack of every guarded call, in order from the outermost layer.

use tower::{
    ServiceBuilder,
    layer::util::{Identity, Stack},
};

use super::{
    auth_throttle::AuthFailureThrottle,
    authn::{self, Authn},
    error_normalizer::NormalizeErrors,
    load_shed::LoadShed,
    middleware::MiddlewareLayer,
    quota::{self, Quota},
};

/// The dependencies of the stack.
#[derive(Clone, Debug)]
pub struct Ports {
    /// For authentication.
    pub authn: authn::Ports,
    /// For tenant quotas.
    pub quota: quota::Ports,
}

/// The type of the stack; the innermost layer comes first.
pub(super) type RequestStack = ServiceBuilder<
    Stack<
        MiddlewareLayer<NormalizeErrors>,
        Stack<
            MiddlewareLayer<Quota>,
            Stack<MiddlewareLayer<Authn>, Stack<MiddlewareLayer<LoadShed>, Identity>>,
        >,
    >,
>;

/// Builds the stack. Each comment gives the reason for the layer's position.
pub(super) fn request_stack(ports: &Ports, load: LoadShed) -> RequestStack {
    ServiceBuilder::new()
        // First, so that a rejected call costs almost nothing.
        .layer(MiddlewareLayer(load))
        // Before everything that counts per tenant: only a verified signature proves the tenant.
        .layer(MiddlewareLayer(Authn {
            ports: ports.authn.clone(),
            auth_throttle: AuthFailureThrottle::default(),
        }))
        // After authentication, so that only authenticated callers use a tenant's quota; before the body is
        // read, so that a rejection is cheap.
        .layer(MiddlewareLayer(Quota { ports: ports.quota.clone() }))
        // Next to the handlers, because it inspects the errors of tonic's decoder.
        .layer(MiddlewareLayer(NormalizeErrors { ports: ports.authn.clone() }))
}
