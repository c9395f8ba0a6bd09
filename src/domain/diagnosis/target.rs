//! Checks of the target and of the tenant's permission: policy, the log group, and where the key is.

use super::check::{Check, CheckName, Lookup};
use crate::domain::{
    arn::{KmsKeyArn, KmsKeyId},
    association::{Resource, Target},
    authorization::Denial,
    aws::Region,
    key::KeyMetadata,
    reason::Reason,
};

/// The properties of a log group that the checks use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLookup {
    /// The log group's key. `None` is the AWS-owned default.
    pub key: Option<KmsKeyArn>,
    /// The log group's class, as AWS names it.
    pub class: Option<Box<str>>,
}

/// Whether policy allows the association.
#[must_use]
pub fn tenant_policy(decision: Result<(), &Denial>, resource: &Resource, key: &KmsKeyArn) -> Check {
    match decision {
        Ok(()) => {
            Check::passed(CheckName::TenantPolicy, "the tenant's grants and policies allow the association")
        }
        Err(_) => Check::failed(
            CheckName::TenantPolicy,
            Reason::NotAllowed,
            format!("neither the tenant's grants nor any policy allows {key} on {resource}"),
            "ask the operator of this service to grant the log group and the key",
        ),
    }
}

/// The key of query results, as a probe found it.
#[must_use]
pub fn check_query_results(key: Option<&KmsKeyArn>) -> Check {
    let detail = match key {
        Some(key) => format!("a query shows that the key of query results is {key}"),
        None => "a query shows that query results use the AWS-owned default encryption".to_owned(),
    };
    Check::passed(CheckName::CurrentAssociation, detail)
}

/// The key of query results according to this service's own record, if it has one. AWS has no call that
/// returns this key.
#[must_use]
pub fn check_recorded(record: Option<Option<KmsKeyArn>>) -> Check {
    let name = CheckName::CurrentAssociation;
    match record {
        None => Check::not_checked(
            name,
            "the key of query results is unknown: AWS has no call that returns it, and this service has never changed it",
        ),
        Some(Some(key)) => Check::passed(
            name,
            format!("according to this service's own record, the key of query results is {key}"),
        ),
        Some(None) => Check::passed(
            name,
            "according to this service's own record, query results use the AWS-owned default encryption",
        ),
    }
}

/// Whether the log group exists and accepts a key, and which key it has.
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
                None => "the log group uses the AWS-owned default encryption".to_owned(),
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
                "there is no log group {name} in account {} and Region {}",
                resource.location.account, resource.location.region
            ),
            "create the log group first, or correct its name, account or Region",
        )],
        Lookup::Unknown(reason) => {
            vec![Check::not_checked(
                CheckName::LogGroupExists,
                format!("the log group was not checked because {reason}"),
            )]
        }
    }
}

fn log_group_class(class: Option<&str>) -> Check {
    match class {
        None | Some("STANDARD" | "INFREQUENT_ACCESS") => Check::passed(
            CheckName::LogGroupClass,
            format!("log groups of class {} accept a key", class.unwrap_or("STANDARD")),
        ),
        Some(other) => Check::not_checked(
            CheckName::LogGroupClass,
            format!("AWS does not document whether log groups of class {other} accept a key"),
        ),
    }
}

/// Whether the key exists and is in the target's Region.
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
            format!(
                "KMS has no key {requested} in account {} and Region {region}",
                resource.location.account
            ),
            "correct the key id, or use the key's ARN",
        )],
        Lookup::Unknown(reason) => {
            vec![Check::not_checked(
                CheckName::KeyExists,
                format!("the key was not checked because {reason}"),
            )]
        }
    }
}

/// The failed check for a key that is in another Region than the target.
#[must_use]
pub fn check_foreign_key(key: &Region, resource: &Resource) -> Check {
    let region = &resource.location.region;
    Check::failed(
        CheckName::KeyRegion,
        Reason::KeyRegionMismatch,
        format!("the key is in {key}, but the target is in {region}"),
        format!("use a key in {region}; for a multi-Region key, use its replica in that Region"),
    )
}
