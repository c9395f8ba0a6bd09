//! The one stack that every guarded call passes, outermost first.

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

/// What the stack needs from the world.
#[derive(Clone, Debug)]
pub struct Ports {
    /// For who is calling.
    pub authn: authn::Ports,
    /// For how much a tenant may call.
    pub quota: quota::Ports,
}

/// The stack, innermost type first.
pub(super) type RequestStack = ServiceBuilder<
    Stack<
        MiddlewareLayer<NormalizeErrors>,
        Stack<
            MiddlewareLayer<Quota>,
            Stack<MiddlewareLayer<Authn>, Stack<MiddlewareLayer<LoadShed>, Identity>>,
        >,
    >,
>;

/// Builds the stack. Each line says why it stands where it stands.
pub(super) fn request_stack(ports: &Ports, load: LoadShed) -> RequestStack {
    ServiceBuilder::new()
        // Before everything that costs: what is too much is refused for next to nothing.
        .layer(MiddlewareLayer(load))
        // Before anything that is kept per tenant: nobody has a budget until a signature says who
        // they are.
        .layer(MiddlewareLayer(Authn {
            ports: ports.authn.clone(),
            auth_throttle: AuthFailureThrottle::default(),
        }))
        // After authentication, so that a stranger cannot spend a tenant's budget; before the body is
        // read, so that refusing is cheap.
        .layer(MiddlewareLayer(Quota { ports: ports.quota.clone() }))
        // Next to the handlers, since it is tonic's reading of the body that it looks at.
        .layer(MiddlewareLayer(NormalizeErrors { ports: ports.authn.clone() }))
}
