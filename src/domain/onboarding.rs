//! The role and the policies to install in a tenant's account, as JSON, Terraform and `CloudFormation`. They
//! are ready to paste and no wider than the tenant's grant. `GetOnboarding` and `logkey onboarding` return
//! them.

mod build;
mod documents;
mod organization;
mod samples;
mod statements;
mod templates;
#[cfg(test)]
mod tests;

pub use self::{
    documents::{KEY_STATEMENTS_NOTE, Onboarding},
    organization::{InvalidOrganizationId, OrganizationId},
    samples::{exact_keys, sample_keys, sample_targets},
    statements::{
        CHECK_OWN_PERMISSIONS, FIND_LOG_GROUPS, LOOK_AT_KEYS, READ_QUERY, READ_QUOTAS, RUN_QUERY,
        SET_KEY_OF_QUERY_RESULTS, SET_KEYS, USE_KEYS, role_statements,
    },
};
