//! The changes: setting a key and removing a key. Both go through `pipeline`.

pub(super) mod associate;
pub(super) mod change;
pub(super) mod changed;
pub(super) mod disassociate;
mod dry_run;
mod execution;
mod idempotency;
mod pipeline;
mod precondition;
pub(super) mod prior_state;
pub(super) mod reconcile;
mod recorded_response;
mod warnings;

pub use self::{
    associate::associate, changed::Changed, disassociate::disassociate, reconcile::reconcile,
    warnings::current_warnings,
};
