//! Authorization with Cedar. [`CedarPolicy`] decides every call by the operators' policies and the grants of
//! one tenant.

mod authorizer;
mod engine;
mod entities;
mod entity_cache;
mod explain;
mod fault;
mod grant_policies;
mod load;
mod policy_bundle;
mod request;
mod resource_kind;
#[cfg(test)]
mod tests;

pub use self::{
    authorizer::CedarPolicy,
    engine::applicability::Applicability,
    explain::{Explanation, PolicyExplanation},
    fault::PolicyFault,
    grant_policies::GrantPolicy,
};
