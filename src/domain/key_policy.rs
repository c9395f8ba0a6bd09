//! Evaluates whether a key's policy lets `CloudWatch` Logs, or a role, use the key for one target. The
//! diagnosis calls it. The evaluation has three values: what depends on unknown facts is
//! [`PolicyEvaluation::Unclear`], never [`PolicyEvaluation::Allows`].

mod condition;
mod condition_keys;
mod document;
mod element;
mod evaluate;
mod glob;
mod principals;
mod role;
mod ternary;
#[cfg(test)]
mod tests;

pub use self::{
    element::UnreadablePolicy,
    evaluate::{KeyPolicy, PolicyEvaluation, REQUIRED_ACTIONS},
    principals::service_principal,
    role::{PrincipalAccess, role_call_lacks},
};
