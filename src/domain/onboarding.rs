//! What has to be installed in a tenant's account, ready to paste: as JSON, as Terraform and as
//! `CloudFormation`, and no wider than the tenant's grant.

mod samples;
mod templates;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

pub use self::samples::{exact_keys, sample_keys, sample_targets};
use super::{
    association::Location,
    aws::Region,
    key_policy::service_principal,
    policy_simulation::{DESCRIBE_ACTIONS, READ_TAGS},
    tenant::AccountGrant,
};

/// What the role does with keys, through `CloudWatch` Logs only.
const KMS_USE: [&str; 5] =
    ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"];

/// The statement of the role's policy for finding log groups.
pub const FIND_LOG_GROUPS: &str = "FindLogGroups";
/// The one for changing their keys.
pub const SET_KEYS: &str = "SetKeysOfLogGroups";
/// The one for changing the key of query results.
pub const SET_KEY_OF_QUERY_RESULTS: &str = "SetKeyOfQueryResults";
/// The one for using keys through `CloudWatch` Logs.
pub const USE_KEYS: &str = "UseKeysThroughCloudWatchLogs";
/// The one for looking at keys, to say what is wrong with them.
pub const LOOK_AT_KEYS: &str = "LookAtKeys";
/// The one for running the query that verifies the key of query results.
pub const RUN_QUERY: &str = "RunQueryInLogGroups";
/// The one for reading what that query came to.
pub const READ_QUERY: &str = "ReadQueryResults";
/// One that may be left away: without it, AWS's default quotas are kept.
pub const READ_QUOTAS: &str = "ReadServiceQuotas";
/// One that may be left away: without it, what the role lacks shows only when a key is set.
pub const CHECK_OWN_PERMISSIONS: &str = "CheckOwnPermissions";

/// Everything to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onboarding {
    /// Who may assume the role, and with which external id.
    pub trust_policy: Value,
    /// What the role may do.
    pub role_policy: Value,
    /// What the policy of a key for log groups must say, one statement a Region.
    pub key_policy_for_log_groups: Vec<Value>,
    /// What the policy of a key for query results must say, one statement a Region; empty where the
    /// tenant may not set that key.
    pub key_policy_for_query_results: Vec<Value>,
    /// The role as a Terraform configuration, with the statements for keys as locals.
    pub terraform: String,
    /// The role as a `CloudFormation` template in JSON, with the statements for keys as metadata.
    pub cloudformation: Value,
}

// === impl Onboarding ===

impl Onboarding {
    /// What this grant needs, with `hub` as the ARN of this service's own role or user.
    #[must_use]
    pub fn of(grant: &AccountGrant, service_principal: &str) -> Self {
        let (trust_policy, role_policy) = (trust_policy(grant, service_principal), role_policy(grant));
        let for_groups = grant.regions.iter().map(|region| for_log_groups(grant, region)).collect();
        let results = grant.regions.iter().filter(|_| grant.query_results);
        let mut onboarding = Self {
            key_policy_for_log_groups: for_groups,
            key_policy_for_query_results: results.map(|region| for_query_results(grant, region)).collect(),
            terraform: String::new(),
            cloudformation: Value::Null,
            trust_policy,
            role_policy,
        };
        onboarding.terraform = templates::terraform(grant, &onboarding);
        onboarding.cloudformation = templates::cloudformation(grant, &onboarding);
        onboarding
    }
}

fn trust_policy(grant: &AccountGrant, service_principal: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AssumeWithExternalId",
                "Effect": "Allow",
                "Principal": { "AWS": service_principal },
                "Action": "sts:AssumeRole",
                "Condition": { "StringEquals": { "sts:ExternalId": grant.external_id.expose() } },
            },
            {
                "Sid": "SayOnWhoseBehalf",
                "Effect": "Allow",
                "Principal": { "AWS": service_principal },
                "Action": ["sts:TagSession", "sts:SetSourceIdentity"],
            },
        ],
    })
}

fn role_policy(grant: &AccountGrant) -> Value {
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
    let mut statements = vec![json!({
        "Sid": FIND_LOG_GROUPS,
        "Effect": "Allow",
        "Action": "logs:DescribeLogGroups",
        "Resource": "*",
    })];
    if !groups.is_empty() {
        statements.push(json!({
            "Sid": SET_KEYS,
            "Effect": "Allow",
            "Action": ["logs:AssociateKmsKey", "logs:DisassociateKmsKey"],
            "Resource": groups,
        }));
    }
    if grant.query_results && grant.verify_query_results && !groups.is_empty() {
        statements.push(json!({
            "Sid": RUN_QUERY,
            "Effect": "Allow",
            "Action": "logs:StartQuery",
            "Resource": groups,
        }));
        statements.push(json!({
            "Sid": READ_QUERY,
            "Effect": "Allow",
            "Action": "logs:GetQueryResults",
            "Resource": "*",
        }));
    }
    if grant.query_results {
        // IAM has no resource type for query results.
        statements.push(json!({
            "Sid": SET_KEY_OF_QUERY_RESULTS,
            "Effect": "Allow",
            "Action": ["logs:AssociateKmsKey", "logs:DisassociateKmsKey"],
            "Resource": "*",
        }));
    }
    if !keys.is_empty() {
        statements.push(json!({
            "Sid": USE_KEYS,
            "Effect": "Allow",
            "Action": KMS_USE,
            "Resource": keys,
            "Condition": { "StringEquals": { "kms:ViaService": services } },
        }));
        statements.push(json!({
            "Sid": LOOK_AT_KEYS,
            "Effect": "Allow",
            "Action": DESCRIBE_ACTIONS.iter().chain(&[READ_TAGS]).collect::<Vec<_>>(),
            "Resource": keys,
        }));
    }
    statements.push(json!({
        "Sid": READ_QUOTAS,
        "Effect": "Allow",
        "Action": "servicequotas:ListServiceQuotas",
        "Resource": "*",
    }));
    statements.push(json!({
        "Sid": CHECK_OWN_PERMISSIONS,
        "Effect": "Allow",
        "Action": "iam:SimulatePrincipalPolicy",
        "Resource": grant.role.as_str(),
    }));
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// These statements of the role's policy, as a policy to be added.
#[must_use]
pub fn role_statements(grant: &AccountGrant, sids: &[&str]) -> Value {
    let mut policy = role_policy(grant);
    if let Some(Value::Array(statements)) = policy.get_mut("Statement") {
        statements
            .retain(|one| one.get("Sid").and_then(Value::as_str).is_some_and(|sid| sids.contains(&sid)));
    }
    policy
}

fn for_log_groups(grant: &AccountGrant, region: &Region) -> Value {
    let groups: Vec<String> =
        grant.log_groups.iter().map(|pattern| group_arn(grant, region, pattern.as_str())).collect();
    json!({
        "Sid": sid("AllowLogGroups", region),
        "Effect": "Allow",
        "Principal": { "Service": service_principal(&location(grant, region)) },
        "Action": KMS_USE,
        "Resource": "*",
        "Condition": { "ArnLike": { "kms:EncryptionContext:aws:logs:arn": groups } },
    })
}

fn for_query_results(grant: &AccountGrant, region: &Region) -> Value {
    let partition = grant.role.partition();
    let account = grant.account;
    json!({
        "Sid": sid("AllowQueryResults", region),
        "Effect": "Allow",
        "Principal": { "Service": service_principal(&location(grant, region)) },
        "Action": KMS_USE,
        "Resource": "*",
        "Condition": {
            "ArnEquals": { "aws:SourceArn": format!("arn:{partition}:logs:{region}:{account}:query-result:*") },
            "StringEquals": { "aws:SourceAccount": account.as_str() },
        },
    })
}

fn group_arn(grant: &AccountGrant, region: &Region, pattern: &str) -> String {
    format!("arn:{}:logs:{region}:{}:log-group:{pattern}", grant.role.partition(), grant.account)
}

fn location(grant: &AccountGrant, region: &Region) -> Location {
    Location { account: grant.account, region: region.clone() }
}

/// A pattern over key ARNs as IAM takes it: whole ARNs, or everything.
fn iam_pattern(pattern: &str) -> &str {
    if pattern.starts_with("arn:") && pattern.splitn(6, ':').count() == 6 { pattern } else { "*" }
}

/// A statement's name, which holds letters and digits only.
fn sid(what: &str, region: &Region) -> String {
    what.chars().chain(region.as_str().chars().filter(char::is_ascii_alphanumeric)).collect()
}
