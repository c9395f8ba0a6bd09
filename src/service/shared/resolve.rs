//! Resolves what a caller named to one location and resource of its tenant, and masks what it may not see.
//! Every use case calls it first.

use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{Location, Resource, Target, UnresolvedLocation},
        authorization::{Denial, ResourceScope},
        aws::Partition,
        request::UnresolvedResource,
        tenant::{AccountGrant, Tenant},
    },
    ports::aws::Refusal,
    service::error::Error,
};

/// The one account and Region that match what the caller named and the tenant has.
pub(in crate::service) fn resolve_location(
    tenant: &Tenant,
    unresolved: &UnresolvedLocation,
) -> Result<Location, Error> {
    let fits = |grant: &&AccountGrant| {
        unresolved.account.is_none_or(|account| account == grant.account)
            && unresolved.region.as_ref().is_none_or(|region| grant.allows_region(region))
    };
    let mut fitting = tenant.accounts.iter().map(AsRef::as_ref).filter(fits);
    let grant = fitting.next().ok_or_else(|| Error::AccountNotFound(unresolved.clone()))?;
    if fitting.next().is_some() {
        return Err(Error::Invalid {
            field: "account_id",
            problem: "is required: more than one of the tenant's accounts fits".into(),
        });
    }
    let region = match (&unresolved.region, &*grant.regions) {
        (Some(region), _) => region.clone(),
        (None, [only]) => only.clone(),
        (None, _) => {
            return Err(Error::Invalid {
                field: "region",
                problem: format!(
                    "is required: the tenant has more than one Region in account {}",
                    grant.account
                ),
            });
        }
    };
    Ok(Location { account: grant.account, region })
}

/// The resource that is meant. Reserved log groups are refused here, since AWS would refuse them.
pub(in crate::service) fn resolve_resource(
    tenant: &Tenant,
    unresolved: UnresolvedResource,
) -> Result<Resource, Error> {
    let location = resolve_location(tenant, &unresolved.location)?;
    match unresolved.target {
        Target::LogGroup(name) if name.is_reserved() => Err(Error::LogGroupReserved(name)),
        target @ (Target::LogGroup(_) | Target::QueryResults) => Ok(Resource { location, target }),
    }
}

/// Whether the key is in the resource's Region.
pub(in crate::service) fn check_region(key: &KmsKeyArn, resource: &Resource) -> Result<(), Error> {
    let region = &resource.location.region;
    if key.region() == region && key.partition() == Partition::of(region) {
        Ok(())
    } else {
        Err(Error::KeyRegionMismatch { key: key.region().clone(), target: region.clone() })
    }
}

/// Words a log group that AWS does not know like one that the caller may not see.
pub(in crate::service) fn mask_as_not_found(error: Error, resource: &Resource) -> Error {
    match (error, &resource.target) {
        (Error::Refused { refusal: Refusal::LogGroupNotFound, .. }, Target::LogGroup(name)) => {
            Error::LogGroupNotFound { name: name.clone(), location: resource.location.clone() }
        }
        (Error::FailureNotRecorded { error }, _) => {
            Error::FailureNotRecorded { error: Box::new(mask_as_not_found(*error, resource)) }
        }
        (error, _) => error,
    }
}

/// Names a key that the caller may not use as the caller named it, and not as it was resolved.
pub(in crate::service) fn redact_resolved_key(error: Error, requested: &KmsKeyId) -> Error {
    if let Error::KeyNotFound { location, .. } = error {
        return Error::KeyNotFound { key: requested.clone(), location };
    }
    error
}

/// The error of a denied read that is about no command.
pub(in crate::service) fn mask_denial(denial: Denial, about: ResourceScope<'_>) -> Error {
    match (denial, about) {
        (Denial::Forbidden { policies } | Denial::Undecided { policies }, _) => {
            Error::NotAllowed { policies }
        }
        (Denial::NotPermitted, ResourceScope::Account(grant)) => {
            Error::AccountNotFound(UnresolvedLocation { account: Some(grant.account), region: None })
        }
        (
            Denial::NotPermitted,
            ResourceScope::Aws { .. } | ResourceScope::AuditLog(_) | ResourceScope::Tenant,
        ) => Error::NotAllowed { policies: Vec::new() },
    }
}

/// The error of a denied command: what the caller may not see does not exist.
pub(in crate::service) fn mask_command_denial(
    denial: Denial,
    tenant: &Tenant,
    location: &Location,
    target: Option<&Target>,
    key: Option<&KmsKeyArn>,
) -> Error {
    match denial {
        Denial::Forbidden { policies } | Denial::Undecided { policies } => Error::NotAllowed { policies },
        Denial::NotPermitted => {
            let Some(grant) = tenant.grant(location.account) else {
                let Location { account, region } = location.clone();
                return Error::AccountNotFound(UnresolvedLocation {
                    account: Some(account),
                    region: Some(region),
                });
            };
            match (target, key) {
                (Some(Target::LogGroup(name)), _) if !grant.allows_log_group(name) => {
                    Error::LogGroupNotFound { name: name.clone(), location: location.clone() }
                }
                (_, Some(key)) if !grant.allows_key(key) => {
                    Error::KeyNotFound { key: KmsKeyId::Arn(key.clone()), location: location.clone() }
                }
                _ => Error::NotAllowed { policies: Vec::new() },
            }
        }
    }
}
