//! The Cedar engine. Only this module uses `cedar_policy_core`, the API below `cedar-policy` that may change with
//! any release, so `Cargo.toml` pins its exact version.
//!
//! It builds requests from values and evaluates single parts of policies, which the public API cannot do. The
//! differential test compares its decisions with those of the public `cedar_policy::Authorizer`.

pub(super) mod applicability;
pub(super) mod fact_policies;
pub(super) mod policies;
pub(super) mod request;
pub(super) mod values;
