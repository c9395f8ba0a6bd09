//! IAM policy statements that repair what a diagnosis finds. They are as narrow as possible and ready to
//! paste.

use serde_json::{Value, json};

use super::{
    arn::KmsKeyArn,
    association::{Resource, Target},
    aws::RoleArn,
    key_policy::service_principal,
};

/// The actions that `CloudWatch` Logs and the role need on a key, as AWS's documentation lists them.
const KMS_ACTIONS: [&str; 5] =
    ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"];

/// A statement for the key's policy: `CloudWatch` Logs may use the key for this target only.
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

/// A statement for the role's policy: the role may use the key through `CloudWatch` Logs only.
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

/// A statement for the role's policy: the role may set and remove the target's key.
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

/// A statement for the role's policy: the role may read the key and its policy.
#[must_use]
pub fn role_read_statement(key: &KmsKeyArn) -> Value {
    json!({
        "Sid": "LookAtKey",
        "Effect": "Allow",
        "Action": ["kms:DescribeKey", "kms:GetKeyPolicy"],
        "Resource": key.as_str(),
    })
}

/// A statement for the key's policy: the role may use the key through `CloudWatch` Logs only.
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

/// An optional statement for the role's policy: the role may simulate its own permissions.
#[must_use]
pub fn role_simulate_statement(role: &RoleArn) -> Value {
    json!({
        "Sid": "CheckOwnPermissions",
        "Effect": "Allow",
        "Action": "iam:SimulatePrincipalPolicy",
        "Resource": role.as_str(),
    })
}

/// A statement for the role's policy: the role may read the key's tags, which a policy of this service
/// requires.
#[must_use]
pub fn role_tags_statement(key: &KmsKeyArn) -> Value {
    json!({
        "Sid": "ReadTagsOfKey",
        "Effect": "Allow",
        "Action": "kms:ListResourceTags",
        "Resource": key.as_str(),
    })
}
