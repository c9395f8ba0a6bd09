//! The one stack that every guarded call passes, outermost first.

use tower::{
    ServiceBuilder,
    layer::util::{Identity, Stack},
};

use super::{
    authn::{self, Authn},
    body::Bodies,
    load::Load,
    quota::{self, Quota},
    step::StepLayer,
    strangers::Strangers,
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
pub(super) type Guard = ServiceBuilder<
    Stack<
        StepLayer<Bodies>,
        Stack<StepLayer<Quota>, Stack<StepLayer<Authn>, Stack<StepLayer<Load>, Identity>>>,
    >,
>;

/// Builds the stack. Each line says why it stands where it stands.
pub(super) fn guard(ports: &Ports, load: Load) -> Guard {
    ServiceBuilder::new()
        // Before everything that costs: what is too much is refused for next to nothing.
        .layer(StepLayer(load))
        // Before anything that is kept per tenant: nobody has a budget until a signature says who
        // they are.
        .layer(StepLayer(Authn { ports: ports.authn.clone(), strangers: Strangers::default() }))
        // After authentication, so that a stranger cannot spend a tenant's budget; before the body is
        // read, so that refusing is cheap.
        .layer(StepLayer(Quota { ports: ports.quota.clone() }))
        // Next to the handlers, since it is tonic's reading of the body that it looks at.
        .layer(StepLayer(Bodies { ports: ports.authn.clone() }))
}
