//! The checks that explain why an association would fail or has failed, each with a finding and a remedy.
//! `CheckKeyAssociation`, `TestAccess` and failed changes use them. A check without facts is
//! "not checked".

mod check;
mod key;
mod refusal;
mod role;
mod severity;
mod simulation;
mod target;
#[cfg(test)]
mod tests;

pub use self::{
    check::{Check, CheckName, Diagnosis, Lookup, Outcome, Verdict},
    key::{key_policy, key_usable, outdated_check, refusal_check},
    refusal::{
        Denied, account_not_subscribed, denied, region_not_enabled, role_not_assumable, service_misconfigured,
    },
    role::{Kms, role_kms},
    simulation::{RolePermission, role_logs},
    target::{
        GroupLookup, check_foreign_key, check_query_results, check_recorded, key_exists, log_group,
        tenant_policy,
    },
};
