//! Resources, the commands that act on them, and the associations that the service returns.

mod command;
pub(super) mod record;
pub(super) mod resource;
mod state;

pub use self::{
    command::{
        AssociateKmsKey, CheckKeyAssociation, DisassociateKmsKey, GetKeyAssociation, GetKeyUsage,
        InvalidReason, Justification, KeyFilter, ListKeyAssociations, MAX_REASON, TestAccess,
    },
    record::{PROPAGATION_DELAY, RecordedAssociation, Source},
    resource::{
        InvalidLogGroupName, Location, LogGroupName, MAX_LOG_GROUP_NAME, Resource, Target, UnresolvedLocation,
    },
    state::{AssociationState, KeyAssociation, Warning},
};
