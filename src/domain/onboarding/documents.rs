//! The documents to install in an account.

use serde_json::Value;

/// The documents to install in one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onboarding {
    /// The role's trust policy, which requires the external id.
    pub trust_policy: Value,
    /// The role's permissions policy.
    pub role_policy: Value,
    /// The statements for the policy of a key that encrypts log groups, one for each Region.
    pub key_policy_for_log_groups: Vec<Value>,
    /// The statements for the policy of a key that encrypts query results, one for each Region. Empty if the
    /// tenant may not set that key.
    pub key_policy_for_query_results: Vec<Value>,
    /// The role as a Terraform configuration, with the key policy statements as locals.
    pub terraform: String,
    /// The role as a `CloudFormation` template in JSON, with the key policy statements as metadata.
    pub cloudformation: Value,
}
