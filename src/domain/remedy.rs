//! IAM policy statements that repair what a diagnosis finds. They are as narrow as possible and ready to
//! paste.

use serde_json::{Value, json};

use super::{
    arn::KmsKeyArn,
    association::{Resource, Target},
    aws::RoleArn,
    key_policy::service_principal,
    policy_simulation::{DESCRIBE_ACTIONS, READ_TAGS},
    refusal::RoleAction,
    role_statement::{self, SET_KEY_ACTIONS, SIMULATE, allow},
};

/// What stands in a statement for the external id, which errors and the audit log never contain.
pub const EXTERNAL_ID: &str = "EXTERNAL_ID";

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
    let service = json!({ "Service": service_principal(&resource.location) });
    role_statement::allow_use_of_key(sid, &service, &condition)
}

/// A statement for the role's policy: the role may use the key through `CloudWatch` Logs only.
#[must_use]
pub fn role_kms_statement(key: &KmsKeyArn, resource: &Resource) -> Value {
    let service = service_principal(&resource.location);
    role_statement::use_keys_through("UseKeyThroughCloudWatchLogs", key.as_str(), service)
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
    allow("SetKeys", SET_KEY_ACTIONS, resources)
}

/// A statement for the role's policy: the role may read the key and its policy.
#[must_use]
pub fn role_read_statement(key: &KmsKeyArn) -> Value {
    allow("LookAtKey", DESCRIBE_ACTIONS, key.as_str())
}

/// A statement for the key's policy: the role may use the key through `CloudWatch` Logs only.
#[must_use]
pub fn key_policy_role_statement(role: &RoleArn, resource: &Resource) -> Value {
    let condition = role_statement::via_service(service_principal(&resource.location));
    let principal = json!({ "AWS": role.as_str() });
    role_statement::allow_use_of_key("AllowRoleThroughCloudWatchLogs", &principal, &condition)
}

/// What the role's trust policy lacks if it does not allow this action: one statement, or both.
#[must_use]
pub fn trust_policy_statements(action: RoleAction, service: &str) -> Value {
    let attribution = role_statement::attribute_sessions(service);
    match action {
        RoleAction::AssumeRole => {
            json!([role_statement::assume_with_external_id(service, EXTERNAL_ID), attribution])
        }
        RoleAction::TagSession | RoleAction::SetSourceIdentity => attribution,
    }
}

/// An optional statement for the role's policy: the role may simulate its own permissions.
#[must_use]
pub fn role_simulate_statement(role: &RoleArn) -> Value {
    allow("CheckOwnPermissions", SIMULATE, role.as_str())
}

/// A statement for the role's policy: the role may read the key's tags, which a policy of this service
/// requires.
#[must_use]
pub fn role_tags_statement(key: &KmsKeyArn) -> Value {
    allow("ReadTagsOfKey", READ_TAGS, key.as_str())
}
