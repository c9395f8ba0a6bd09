//! Policy statements that mend what a diagnosis finds, as narrow as they can be, ready to paste.

use serde_json::{Value, json};

use super::{
    arn::KmsKeyArn,
    association::{Resource, Target},
    aws::RoleArn,
    key_policy::service_principal,
};

/// What `CloudWatch` Logs and the role need to do with a key, as AWS's documentation words it.
const KMS_ACTIONS: [&str; 5] =
    ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"];

/// For the key's policy: lets `CloudWatch` Logs use the key for this target and nothing else.
#[must_use]
pub fn key_policy_statement(resource: &Resource) -> Value {
    let arn = resource.arn().to_string();
    let (sid, condition) = match &resource.target {
        Target::LogGroup(_) => (
            "AllowCloudWatchLogsForOneLogGroup",
            json!({ "ArnEquals": { "kms:EncryptionContext:aws:logs:arn": arn } }),
        ),
        Target::QueryResults => (
            "AllowCloudWatchLogsForQueryResults",
            json!({
                "ArnEquals": { "aws:SourceArn": arn },
                "StringEquals": { "aws:SourceAccount": resource.location.account.as_str() },
            }),
        ),
    };
    json!({
        "Sid": sid,
        "Effect": "Allow",
        "Principal": { "Service": service_principal(&resource.location) },
        "Action": KMS_ACTIONS,
        "Resource": "*",
        "Condition": condition,
    })
}

/// For the role's policy: lets the role use the key, through `CloudWatch` Logs only.
#[must_use]
pub fn role_kms_statement(key: &KmsKeyArn, resource: &Resource) -> Value {
    json!({
        "Sid": "UseKeyThroughCloudWatchLogs",
        "Effect": "Allow",
        "Action": KMS_ACTIONS,
        "Resource": key.as_str(),
        "Condition": { "StringEquals": { "kms:ViaService": service_principal(&resource.location) } },
    })
}

/// For the role's policy: lets the role set and take away the target's key.
#[must_use]
pub fn role_logs_statement(resource: &Resource) -> Value {
    let arn = resource.arn().to_string();
    let resources = match &resource.target {
        Target::LogGroup(_) => json!([arn, format!("{arn}:*")]),
        // IAM has no resource type for query results.
        Target::QueryResults => json!("*"),
    };
    json!({
        "Sid": "SetKeys",
        "Effect": "Allow",
        "Action": ["logs:AssociateKmsKey", "logs:DisassociateKmsKey"],
        "Resource": resources,
    })
}

/// For the role's policy: lets the role look at the key before it is used.
#[must_use]
pub fn role_read_statement(key: &KmsKeyArn) -> Value {
    json!({
        "Sid": "LookAtKey",
        "Effect": "Allow",
        "Action": ["kms:DescribeKey", "kms:GetKeyPolicy"],
        "Resource": key.as_str(),
    })
}

/// For the key's policy: lets the role use the key, through `CloudWatch` Logs only.
#[must_use]
pub fn key_policy_role_statement(role: &RoleArn, resource: &Resource) -> Value {
    json!({
        "Sid": "AllowRoleThroughCloudWatchLogs",
        "Effect": "Allow",
        "Principal": { "AWS": role.as_str() },
        "Action": KMS_ACTIONS,
        "Resource": "*",
        "Condition": { "StringEquals": { "kms:ViaService": service_principal(&resource.location) } },
    })
}

/// For the role's policy, and optional: lets the role have its own permissions checked beforehand.
#[must_use]
pub fn role_simulate_statement(role: &RoleArn) -> Value {
    json!({
        "Sid": "CheckOwnPermissions",
        "Effect": "Allow",
        "Action": "iam:SimulatePrincipalPolicy",
        "Resource": role.as_str(),
    })
}

/// For the role's policy: lets the role read the tags of the key, which a policy of this service asks for.
#[must_use]
pub fn role_tags_statement(key: &KmsKeyArn) -> Value {
    json!({
        "Sid": "ReadTagsOfKey",
        "Effect": "Allow",
        "Action": "kms:ListResourceTags",
        "Resource": key.as_str(),
    })
}
