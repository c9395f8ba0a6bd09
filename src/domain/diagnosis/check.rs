//! Checks, their outcomes, and the diagnosis that they make up.

use serde_json::Value;

use crate::domain::{arn::KmsKeyArn, reason::Reason};

/// The name of a check. Callers depend on it, so it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckName {
    /// The tenant's grants and the policies allow the association.
    TenantPolicy,
    /// The service can assume the account's role.
    RoleAssumable,
    /// AWS does not reserve the log group's name.
    LogGroupNotReserved,
    /// The log group exists.
    LogGroupExists,
    /// Log groups of this class accept a key.
    LogGroupClass,
    /// The key exists.
    KeyExists,
    /// The key is in the target's Region.
    KeyRegion,
    /// The key is enabled.
    KeyState,
    /// The key is symmetric.
    KeySpec,
    /// The key is for encryption.
    KeyUsage,
    /// The key is customer managed.
    KeyManager,
    /// The key's policy lets `CloudWatch` Logs use the key for this target.
    KeyPolicy,
    /// The role may use the key through `CloudWatch` Logs.
    RoleKmsPermission,
    /// The role may set and remove keys.
    RoleLogsPermission,
    /// The key that the target has now.
    CurrentAssociation,
    /// The role may list log groups.
    RoleReadPermission,
    /// The role may read keys and their policies.
    RoleKeyReadPermission,
    /// The role may read the tags of keys, which a policy of this service requires.
    RoleKeyTagsPermission,
    /// The role may run the query that shows the key of query results, and read its results.
    RoleQueryPermission,
    /// The role may read the account's quotas.
    RoleQuotasPermission,
    /// The role cannot be assumed without the external id.
    RoleNeedsExternalId,
    /// The account has enabled the Region and is signed up for the AWS services. Only a failure is reported.
    RegionEnabled,
    /// AWS serves this service itself. Only a failure is reported.
    ServiceAccess,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The facts were read and are good.
    Passed,
    /// The facts were read, and the association would fail with this reason.
    Failed(Reason),
    /// The facts could not be read or evaluated.
    NotChecked,
}

/// The overall result of a diagnosis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every check passed.
    Ok,
    /// At least one check failed.
    WouldFail,
    /// No check failed, but at least one could not be made.
    Uncertain,
}

/// One check with its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The name of the check.
    pub name: CheckName,
    /// Whether it passed, failed or could not be made.
    pub outcome: Outcome,
    /// The finding, for people.
    pub detail: String,
    /// What to do, for people. Empty if there is nothing to do.
    pub remedy: String,
    /// The JSON policy statement to add, if adding one is the remedy.
    pub document: Option<Box<str>>,
    /// The cause for programs, if the reason has several: it is in the metadata of an error.
    pub cause: Option<Box<str>>,
}

/// The checks of an association, in the order in which a call would fail on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// The checks, made or not.
    pub checks: Vec<Check>,
    /// The key, if it could be resolved.
    pub key: Option<KmsKeyArn>,
}

/// The result of looking something up in AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// It exists.
    Found(T),
    /// It does not exist.
    Absent,
    /// The lookup failed. The text is the cause, worded to follow "because".
    Unknown(String),
}

// === impl CheckName ===

impl CheckName {
    /// Every check.
    pub const ALL: [Self; 23] = [
        Self::RoleKeyReadPermission,
        Self::TenantPolicy,
        Self::RoleAssumable,
        Self::LogGroupNotReserved,
        Self::LogGroupExists,
        Self::LogGroupClass,
        Self::KeyExists,
        Self::KeyRegion,
        Self::KeyState,
        Self::KeySpec,
        Self::KeyUsage,
        Self::KeyManager,
        Self::KeyPolicy,
        Self::RoleKmsPermission,
        Self::RoleLogsPermission,
        Self::CurrentAssociation,
        Self::RoleReadPermission,
        Self::RoleKeyTagsPermission,
        Self::RoleQueryPermission,
        Self::RoleQuotasPermission,
        Self::RoleNeedsExternalId,
        Self::RegionEnabled,
        Self::ServiceAccess,
    ];

    /// The name in responses to callers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TenantPolicy => "TENANT_POLICY",
            Self::RoleAssumable => "ROLE_ASSUMABLE",
            Self::LogGroupNotReserved => "LOG_GROUP_NOT_RESERVED",
            Self::LogGroupExists => "LOG_GROUP_EXISTS",
            Self::LogGroupClass => "LOG_GROUP_CLASS",
            Self::KeyExists => "KEY_EXISTS",
            Self::KeyRegion => "KEY_REGION",
            Self::KeyState => "KEY_STATE",
            Self::KeySpec => "KEY_SPEC",
            Self::KeyUsage => "KEY_USAGE",
            Self::KeyManager => "KEY_MANAGER",
            Self::KeyPolicy => "KEY_POLICY",
            Self::RoleKmsPermission => "ROLE_KMS_PERMISSION",
            Self::RoleLogsPermission => "ROLE_LOGS_PERMISSION",
            Self::CurrentAssociation => "CURRENT_ASSOCIATION",
            Self::RoleReadPermission => "ROLE_READ_PERMISSION",
            Self::RoleKeyReadPermission => "ROLE_KEY_READ_PERMISSION",
            Self::RoleKeyTagsPermission => "ROLE_KEY_TAGS_PERMISSION",
            Self::RoleQueryPermission => "ROLE_QUERY_PERMISSION",
            Self::RoleQuotasPermission => "ROLE_QUOTAS_PERMISSION",
            Self::RoleNeedsExternalId => "ROLE_NEEDS_EXTERNAL_ID",
            Self::RegionEnabled => "REGION_ENABLED",
            Self::ServiceAccess => "SERVICE_ACCESS",
        }
    }
}

// === impl Check ===

impl Check {
    /// A check that passed.
    #[must_use]
    pub fn passed(name: CheckName, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Passed, detail.into(), String::new())
    }

    /// A check that failed: the association would fail with this reason.
    #[must_use]
    pub fn failed(
        name: CheckName,
        reason: Reason,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(name, Outcome::Failed(reason), detail.into(), remedy.into())
    }

    /// A check that could not be made.
    #[must_use]
    pub fn not_checked(name: CheckName, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::NotChecked, detail.into(), String::new())
    }

    fn new(name: CheckName, outcome: Outcome, detail: String, remedy: String) -> Self {
        Self { name, outcome, detail, remedy, document: None, cause: None }
    }

    /// The same check with a cause for programs.
    #[must_use]
    pub fn with_cause(self, cause: &str) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// The same check with a remedy and the policy statement to add.
    #[must_use]
    pub fn with_document(self, remedy: impl Into<String>, document: &Value) -> Self {
        Self { remedy: remedy.into(), document: Some(format!("{document:#}").into()), ..self }
    }

    /// The reason of a failed check.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self.outcome {
            Outcome::Failed(reason) => Some(reason),
            Outcome::Passed | Outcome::NotChecked => None,
        }
    }
}

// === impl Diagnosis ===

impl Diagnosis {
    /// The overall result of the checks.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.cause().is_some() {
            Verdict::WouldFail
        } else if self.checks.iter().all(|check| check.outcome == Outcome::Passed) {
            Verdict::Ok
        } else {
            Verdict::Uncertain
        }
    }

    /// The first check that failed.
    #[must_use]
    pub fn cause(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.reason().is_some())
    }
}
