//! The documents to install in an account.

use serde_json::Value;

/// What to say beside the statements for key policies
/// (<https://repost.aws/knowledge-center/kms-policy-error-invalid-principals>, "opt-in Regions").
pub const KEY_STATEMENTS_NOTE: &str = "Each statement is for the keys of one Region. Add to a key only the statement of the key's own Region: KMS refuses a key policy with the service principal of an opt-in Region that is not enabled.";

/// The documents to install in one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onboarding {
    /// The role's trust policy, which requires the external id.
    pub trust_policy: Value,
    /// The role's permissions policy.
    pub role_policy: Value,
    /// The statements for the policy of a key that encrypts log groups: one for each Region, for the keys of
    /// that Region.
    pub key_policy_for_log_groups: Vec<Value>,
    /// The statements for the policy of a key that encrypts query results: one for each Region, for the
    /// keys of that Region. Empty if the tenant may not set that key.
    pub key_policy_for_query_results: Vec<Value>,
    /// The role as a Terraform configuration, with the key policy statements by Region as locals.
    pub terraform: String,
    /// The role as a `CloudFormation` template in JSON, with the key policy statements by Region as
    /// metadata.
    pub cloudformation: Value,
}
