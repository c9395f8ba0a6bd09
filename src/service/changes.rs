//! The changes: setting a key and removing a key. Both go through `pipeline`.

mod associate;
mod change;
mod changed;
mod disassociate;
mod dry_run;
mod execution;
mod idempotency;
mod pipeline;
mod precondition;
mod prior_state;
pub(super) mod reconcile;
mod recorded_response;
mod warnings;

pub use self::{
    associate::associate, changed::Changed, disassociate::disassociate, reconcile::reconcile,
    warnings::current_warnings,
};
