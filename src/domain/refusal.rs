//! What AWS's refusals mean: which policy denies a call, why a role cannot be assumed, and what is wrong with
//! the service's own access to AWS.

mod assume_role;
mod denial;
mod service_fault;

pub use self::{
    assume_role::{AssumeRoleRefusal, RoleAction, refused_principal, trusted_principal},
    denial::{AccessDenial, DeniedAction, DenyingPolicy},
    service_fault::ServiceFault,
};
