//! Injected faults: which calls they affect, how often, and what happens to those calls.

pub(crate) mod active;
pub(crate) mod plan;
pub(crate) mod spec;
#[cfg(test)]
mod tests;

pub use self::{
    active::ActiveFault,
    spec::{Effect, Fault, When},
};
