//! The statements of the role's policies and of the key policies.

use serde_json::{Value, json};

use super::organization::OrganizationId;
use crate::domain::{
    association::Location,
    aws::Region,
    key_policy::service_principal,
    policy_simulation::{DESCRIBE_ACTIONS, READ_TAGS},
    role_statement::{
        LIST_LOG_GROUPS, LIST_QUOTAS, READ_QUERY_RESULTS, SET_KEY_ACTIONS, SIMULATE, START_QUERY, allow,
        allow_use_of_key, assume_with_external_id, attribute_sessions, use_keys_through,
    },
    tenant::AccountGrant,
};

/// The `Sid` of the role policy's statement for listing log groups.
pub const FIND_LOG_GROUPS: &str = "FindLogGroups";
/// The `Sid` of the statement for changing the keys of log groups.
pub const SET_KEYS: &str = "SetKeysOfLogGroups";
/// The `Sid` of the statement for changing the key of query results.
pub const SET_KEY_OF_QUERY_RESULTS: &str = "SetKeyOfQueryResults";
/// The `Sid` of the statement for using keys through `CloudWatch` Logs.
pub const USE_KEYS: &str = "UseKeysThroughCloudWatchLogs";
/// The `Sid` of the statement for reading keys, which a diagnosis needs.
pub const LOOK_AT_KEYS: &str = "LookAtKeys";
/// The `Sid` of the statement for running the probe that shows the key of query results.
pub const RUN_QUERY: &str = "RunQueryInLogGroups";
/// The `Sid` of the statement for reading the results of the probe.
pub const READ_QUERY: &str = "ReadQueryResults";
/// The `Sid` of an optional statement. Without it, the service assumes AWS's default quotas.
pub const READ_QUOTAS: &str = "ReadServiceQuotas";
/// The `Sid` of an optional statement. Without it, a missing permission shows only when a key is set.
pub const CHECK_OWN_PERMISSIONS: &str = "CheckOwnPermissions";

/// The condition key for the organization of the caller
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>).
const PRINCIPAL_ORG_ID: &str = "aws:PrincipalOrgID";

pub(super) fn trust_policy(
    grant: &AccountGrant,
    service_principal: &str,
    organization: Option<&OrganizationId>,
) -> Value {
    let mut policy = json!({
        "Version": "2012-10-17",
        "Statement": [
            assume_with_external_id(service_principal, grant.external_id.expose()),
            attribute_sessions(service_principal),
        ],
    });
    let statements = policy.get_mut("Statement").and_then(Value::as_array_mut).into_iter().flatten();
    if let Some(organization) = organization {
        for statement in statements.filter_map(Value::as_object_mut) {
            let condition = statement.entry("Condition").or_insert_with(|| json!({ "StringEquals": {} }));
            if let Some(equals) = condition.get_mut("StringEquals").and_then(Value::as_object_mut) {
                equals.insert(PRINCIPAL_ORG_ID.to_owned(), organization.as_str().into());
            }
        }
    }
    policy
}

pub(super) fn role_policy(grant: &AccountGrant) -> Value {
    let groups: Vec<String> = grant
        .regions
        .iter()
        .flat_map(|region| {
            grant.log_groups.iter().map(move |pattern| group_arn(grant, region, pattern.as_str()))
        })
        .flat_map(|arn| {
            let inside = (!arn.ends_with('*')).then(|| format!("{arn}:*"));
            std::iter::once(arn).chain(inside)
        })
        .collect();
    let keys: Vec<&str> = grant.kms_keys.iter().map(|pattern| iam_pattern(pattern.as_str())).collect();
    let services: Vec<String> =
        grant.regions.iter().map(|region| service_principal(&location(grant, region))).collect();
    let mut statements = vec![allow(FIND_LOG_GROUPS, LIST_LOG_GROUPS, "*")];
    if !groups.is_empty() {
        statements.push(allow(SET_KEYS, SET_KEY_ACTIONS, groups.clone()));
    }
    if grant.query_results && grant.verify_query_results && !groups.is_empty() {
        statements.push(allow(RUN_QUERY, START_QUERY, groups));
        statements.push(allow(READ_QUERY, READ_QUERY_RESULTS, "*"));
    }
    if grant.query_results {
        // IAM has no resource type for query results.
        statements.push(allow(SET_KEY_OF_QUERY_RESULTS, SET_KEY_ACTIONS, "*"));
    }
    if !keys.is_empty() {
        statements.push(use_keys_through(USE_KEYS, keys.clone(), services));
        let [describe, policy] = DESCRIBE_ACTIONS;
        let reads = [describe, policy, READ_TAGS];
        statements.push(allow(LOOK_AT_KEYS, reads, keys));
    }
    statements.push(allow(READ_QUOTAS, LIST_QUOTAS, "*"));
    statements.push(allow(CHECK_OWN_PERMISSIONS, SIMULATE, grant.role.as_str()));
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// A policy with only these statements of the role's policy.
#[must_use]
pub fn role_statements(grant: &AccountGrant, sids: &[&str]) -> Value {
    let mut policy = role_policy(grant);
    if let Some(Value::Array(statements)) = policy.get_mut("Statement") {
        statements
            .retain(|one| one.get("Sid").and_then(Value::as_str).is_some_and(|sid| sids.contains(&sid)));
    }
    policy
}

pub(super) fn for_log_groups(grant: &AccountGrant, region: &Region) -> Value {
    let groups: Vec<String> =
        grant.log_groups.iter().map(|pattern| group_arn(grant, region, pattern.as_str())).collect();
    let condition = json!({ "ArnLike": { "kms:EncryptionContext:aws:logs:arn": groups } });
    allow_use_of_key(&sid("AllowLogGroups", region), &service(grant, region), &condition)
}

pub(super) fn for_query_results(grant: &AccountGrant, region: &Region) -> Value {
    let partition = grant.role.partition();
    let account = grant.account;
    let condition = json!({
        "ArnEquals": { "aws:SourceArn": format!("arn:{partition}:logs:{region}:{account}:query-result:*") },
        "StringEquals": { "aws:SourceAccount": account.as_str() },
    });
    allow_use_of_key(&sid("AllowQueryResults", region), &service(grant, region), &condition)
}

fn group_arn(grant: &AccountGrant, region: &Region, pattern: &str) -> String {
    format!("arn:{}:logs:{region}:{}:log-group:{pattern}", grant.role.partition(), grant.account)
}

/// `CloudWatch` Logs in this Region, as the principal of a key policy.
fn service(grant: &AccountGrant, region: &Region) -> Value {
    json!({ "Service": service_principal(&location(grant, region)) })
}

fn location(grant: &AccountGrant, region: &Region) -> Location {
    Location { account: grant.account, region: region.clone() }
}

/// A pattern for key ARNs in a form that IAM accepts: a complete ARN, or `*`.
fn iam_pattern(pattern: &str) -> &str {
    if pattern.starts_with("arn:") && pattern.splitn(6, ':').count() == 6 { pattern } else { "*" }
}

/// A `Sid` for a Region. A `Sid` can contain only letters and digits.
fn sid(what: &str, region: &Region) -> String {
    what.chars().chain(region.as_str().chars().filter(char::is_ascii_alphanumeric)).collect()
}
