//! Why an association would fail, or did: every check with its finding and what mends it.
//!
//! Only what was looked at and found good counts as passed.

mod key;
mod role;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::{
    arn::{KmsKeyArn, KmsKeyId},
    association::{Resource, Target},
    authorization::Denial,
    aws::Region,
    key::KeyMetadata,
    reason::Reason,
};
pub use key::{key_policy, key_usable, refusal_check};
pub use role::{Kms, changes_allowed, role_kms, role_logs, simulation_allowed};

/// One check. Its name is part of the contract with callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckName {
    /// The tenant's grants and policy allow the association.
    TenantPolicy,
    /// The account's role can be assumed.
    RoleAssumable,
    /// The log group is not one that AWS keeps to itself.
    LogGroupNotReserved,
    /// The log group is there.
    LogGroupExists,
    /// Its class takes a key.
    LogGroupClass,
    /// The key is there.
    KeyExists,
    /// It is in the target's Region.
    KeyRegion,
    /// It is enabled.
    KeyState,
    /// It is symmetric.
    KeySpec,
    /// It is for encryption.
    KeyUsage,
    /// A customer manages it.
    KeyManager,
    /// Its policy lets `CloudWatch` Logs use it for this target.
    KeyPolicy,
    /// The role may use it through `CloudWatch` Logs.
    RoleKmsPermission,
    /// The role may set keys.
    RoleLogsPermission,
    /// What is in force now.
    CurrentAssociation,
    /// The role may list log groups.
    RoleReadPermission,
    /// The role may look at keys and their policies.
    RoleKeyReadPermission,
    /// The role may read the tags of keys, which a policy of this service goes by.
    RoleKeyTagsPermission,
    /// The role may run the query that tells the key of query results, and read what it came to.
    RoleQueryPermission,
    /// The role may read the account's quotas.
    RoleQuotasPermission,
    /// The role cannot be assumed without the external id.
    RoleNeedsExternalId,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Looked at, and good.
    Passed,
    /// Looked at, and the association would fail on it; the reason is what a caller is told then.
    Failed(Reason),
    /// Could not be looked at, or could not be judged.
    NotChecked,
}

/// What a diagnosis comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every check passed.
    Ok,
    /// At least one failed.
    WouldFail,
    /// None failed, and some could not be made.
    Uncertain,
}

/// A check that was made, or could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which.
    pub name: CheckName,
    /// How it ended.
    pub outcome: Outcome,
    /// A sentence that says what was found.
    pub detail: String,
    /// What to do about it, for a person; empty where nothing is to be done.
    pub remedy: String,
    /// The JSON policy statement to add, where there is one.
    pub document: Option<Box<str>>,
}

/// Checks in the order in which a call meets them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// The checks.
    pub checks: Vec<Check>,
    /// The key, where it could be resolved.
    pub key: Option<KmsKeyArn>,
}

/// What a look at something in AWS showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// It is there.
    Found(T),
    /// There is none.
    Absent,
    /// It could not be looked at; why, to be read after "since".
    Unknown(String),
}

/// What a look at a log group shows, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLookup {
    /// Its key.
    pub key: Option<KmsKeyArn>,
    /// Its class, in AWS's own word.
    pub class: Option<Box<str>>,
}

// === impl Name ===

impl CheckName {
    /// Every check.
    pub const ALL: [Self; 21] = [
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
    ];

    /// The name callers see.
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
        }
    }
}

// === impl Check ===

impl Check {
    /// A check that found what it should.
    #[must_use]
    pub fn passed(name: CheckName, detail: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Passed, detail: detail.into(), remedy: String::new(), document: None }
    }

    /// A check on which the association would fail.
    #[must_use]
    pub fn failed(
        name: CheckName,
        reason: Reason,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let outcome = Outcome::Failed(reason);
        Self { name, outcome, detail: detail.into(), remedy: remedy.into(), document: None }
    }

    /// A check that could not be made.
    #[must_use]
    pub fn not_checked(name: CheckName, detail: impl Into<String>) -> Self {
        Self {
            name,
            outcome: Outcome::NotChecked,
            detail: detail.into(),
            remedy: String::new(),
            document: None,
        }
    }

    /// With the statement that mends it.
    #[must_use]
    pub fn with_document(self, remedy: impl Into<String>, document: &Value) -> Self {
        Self { remedy: remedy.into(), document: Some(format!("{document:#}").into()), ..self }
    }

    /// What a caller is told where it failed.
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
    /// What the checks come to.
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

/// Whether policy allows the association itself.
#[must_use]
pub fn tenant_policy(decision: Result<(), &Denial>, resource: &Resource, key: &KmsKeyArn) -> Check {
    match decision {
        Ok(()) => {
            Check::passed(CheckName::TenantPolicy, "the tenant's grants and policies allow the association")
        }
        Err(_) => Check::failed(
            CheckName::TenantPolicy,
            Reason::NotAllowed,
            format!("neither the tenant's grants nor any policy allow {key} on {resource}"),
            "ask whoever runs this service to grant the log group and the key",
        ),
    }
}

/// The key of query results, as a query that was run for that shows it.
#[must_use]
pub fn check_query_results(key: Option<&KmsKeyArn>) -> Check {
    let detail = match key {
        Some(key) => format!("the key of query results is {key}, as a query shows"),
        None => "query results are under the AWS-owned default encryption, as a query shows".to_owned(),
    };
    Check::passed(CheckName::CurrentAssociation, detail)
}

/// The key of query results by this service's own record, where it has one: AWS has no call that tells.
#[must_use]
pub fn check_recorded(record: Option<Option<KmsKeyArn>>) -> Check {
    let name = CheckName::CurrentAssociation;
    match record {
        None => Check::not_checked(
            name,
            "query results have no read interface at AWS, and nothing was set through this service: their key cannot be told from here",
        ),
        Some(Some(key)) => {
            Check::passed(name, format!("by this service's own record, the key of query results is {key}"))
        }
        Some(None) => Check::passed(
            name,
            "by this service's own record, query results are under the AWS-owned default encryption",
        ),
    }
}

/// Whether the log group is there, takes a key, and which key it has.
#[must_use]
pub fn log_group(resource: &Resource, lookup: &Lookup<GroupLookup>) -> Vec<Check> {
    let name = match &resource.target {
        Target::LogGroup(name) => name,
        Target::QueryResults => return vec![check_recorded(None)],
    };
    match lookup {
        Lookup::Found(GroupLookup { key, class }) => {
            let current = match key {
                Some(key) => format!("the log group's key is {key}"),
                None => "the log group is under the AWS-owned default encryption".to_owned(),
            };
            vec![
                Check::passed(CheckName::LogGroupExists, format!("the log group {name} exists")),
                log_group_class(class.as_deref()),
                Check::passed(CheckName::CurrentAssociation, current),
            ]
        }
        Lookup::Absent => vec![Check::failed(
            CheckName::LogGroupExists,
            Reason::LogGroupNotFound,
            format!(
                "there is no log group {name} in {} and {}",
                resource.location.account, resource.location.region
            ),
            "create the log group first, or correct its name, account or Region",
        )],
        Lookup::Unknown(reason) => {
            vec![Check::not_checked(
                CheckName::LogGroupExists,
                format!("the log group was not looked at, since {reason}"),
            )]
        }
    }
}

fn log_group_class(class: Option<&str>) -> Check {
    match class {
        None | Some("STANDARD" | "INFREQUENT_ACCESS") => Check::passed(
            CheckName::LogGroupClass,
            format!("log groups of class {} take a key", class.unwrap_or("STANDARD")),
        ),
        Some(other) => Check::not_checked(
            CheckName::LogGroupClass,
            format!("AWS does not document whether log groups of class {other} take a key"),
        ),
    }
}

/// Whether the key is there, and in the right Region.
#[must_use]
pub fn key_exists(requested: &KmsKeyId, resource: &Resource, lookup: &Lookup<KeyMetadata>) -> Vec<Check> {
    let region = &resource.location.region;
    match lookup {
        Lookup::Found(key) if key.arn.region() == region => vec![
            Check::passed(CheckName::KeyExists, format!("{requested} is {}", key.arn)),
            Check::passed(CheckName::KeyRegion, format!("the key is in {region}")),
        ],
        Lookup::Found(key) => vec![
            Check::passed(CheckName::KeyExists, format!("{requested} is {}", key.arn)),
            check_foreign_key(key.arn.region(), resource),
        ],
        Lookup::Absent => vec![Check::failed(
            CheckName::KeyExists,
            Reason::KeyNotFound,
            format!("KMS knows no key {requested} in {} and {region}", resource.location.account),
            "correct the key's name, or name it by its ARN",
        )],
        Lookup::Unknown(reason) => {
            vec![Check::not_checked(
                CheckName::KeyExists,
                format!("the key was not looked at, since {reason}"),
            )]
        }
    }
}

/// The key is in another Region than the target.
#[must_use]
pub fn check_foreign_key(key: &Region, resource: &Resource) -> Check {
    let region = &resource.location.region;
    Check::failed(
        CheckName::KeyRegion,
        Reason::KeyRegionMismatch,
        format!("the key is in {key}, the target in {region}"),
        format!("name a key of {region}; a multi-Region key by its replica there"),
    )
}
