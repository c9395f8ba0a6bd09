//! Resolves the location and resource that a caller named, and masks what the caller may not see. Every use
//! case calls it first.

use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{Location, Resource, Target, UnresolvedLocation},
        authorization::{Denial, ResourceScope},
        request::UnresolvedResource,
        tenant::{AccountGrant, Tenant},
    },
    ports::aws::Refusal,
    service::error::{AccessError, AwsCallError, Error, RequestError},
};

/// Finds the one account and Region of the tenant that match the request.
pub(in crate::service) fn resolve_location(
    tenant: &Tenant,
    unresolved: &UnresolvedLocation,
) -> Result<Location, Error> {
    let matches = |grant: &&AccountGrant| {
        unresolved.account.is_none_or(|account| account == grant.account)
            && unresolved.region.as_ref().is_none_or(|region| grant.allows_region(region))
    };
    let mut matching = tenant.accounts.iter().map(AsRef::as_ref).filter(matches);
    let grant =
        matching.next().ok_or_else(|| Error::Request(RequestError::AccountNotFound(unresolved.clone())))?;
    if matching.next().is_some() {
        return Err(Error::Request(RequestError::Invalid {
            field: "account_id",
            problem: "is required, because more than one of the tenant's accounts matches".into(),
        }));
    }
    let region = match (&unresolved.region, &*grant.regions) {
        (Some(region), _) => region.clone(),
        (None, [only]) => only.clone(),
        (None, _) => {
            return Err(Error::Request(RequestError::Invalid {
                field: "region",
                problem: format!(
                    "is required, because the tenant has more than one Region in account {}",
                    grant.account
                ),
            }));
        }
    };
    Ok(Location { account: grant.account, region })
}

/// Resolves the resource. Rejects reserved log groups, because AWS would refuse them.
pub(in crate::service) fn resolve_resource(
    tenant: &Tenant,
    unresolved: UnresolvedResource,
) -> Result<Resource, Error> {
    let location = resolve_location(tenant, &unresolved.location)?;
    match unresolved.target {
        Target::LogGroup(name) if name.is_reserved() => {
            Err(Error::Request(RequestError::LogGroupReserved(name)))
        }
        target @ (Target::LogGroup(_) | Target::QueryResults) => Ok(Resource { location, target }),
    }
}

/// Fails if the key is not in the location's Region.
pub(in crate::service) fn check_region(key: &KmsKeyArn, location: &Location) -> Result<(), Error> {
    let region = &location.region;
    if key.region() == region {
        Ok(())
    } else {
        Err(Error::Request(RequestError::KeyRegionMismatch {
            key: key.region().clone(),
            target: region.clone(),
        }))
    }
}

/// Makes the error for a log group that does not exist the same as for one that the caller may not see.
pub(in crate::service) fn mask_as_not_found(error: Error, resource: &Resource) -> Error {
    match (error, &resource.target) {
        (
            Error::Aws(AwsCallError::Refused { refusal: Refusal::LogGroupNotFound, .. }),
            Target::LogGroup(name),
        ) => Error::Request(RequestError::LogGroupNotFound {
            name: name.clone(),
            location: resource.location.clone(),
        }),
        (Error::FailureNotRecorded { error }, _) => {
            Error::FailureNotRecorded { error: Box::new(mask_as_not_found(*error, resource)) }
        }
        (error, _) => error,
    }
}

/// Replaces the resolved key in the error with the key as the caller named it.
pub(in crate::service) fn redact_resolved_key(error: Error, requested: &KmsKeyId) -> Error {
    if let Error::Request(RequestError::KeyNotFound { location, .. }) = error {
        return Error::Request(RequestError::KeyNotFound { key: requested.clone(), location });
    }
    error
}

/// The error of a denied read that has no command.
pub(in crate::service) fn mask_denial(denial: Denial, about: ResourceScope<'_>) -> Error {
    match (denial, about) {
        (Denial::Forbidden { policies } | Denial::Undecided { policies }, _) => {
            Error::Access(AccessError::NotAllowed { policies })
        }
        (Denial::NotPermitted, ResourceScope::Account(grant)) => {
            Error::Request(RequestError::AccountNotFound(UnresolvedLocation {
                account: Some(grant.account),
                region: None,
            }))
        }
        (
            Denial::NotPermitted,
            ResourceScope::Aws { .. }
            | ResourceScope::AuditLog(_)
            | ResourceScope::Tenant
            | ResourceScope::Fleet(_),
        ) => Error::Access(AccessError::NotAllowed { policies: Vec::new() }),
    }
}

/// The error of a denied command. A resource or key that the caller may not see counts as not found.
pub(in crate::service) fn mask_command_denial(
    denial: Denial,
    tenant: &Tenant,
    location: &Location,
    target: Option<&Target>,
    key: Option<&KmsKeyArn>,
) -> Error {
    match denial {
        Denial::Forbidden { policies } | Denial::Undecided { policies } => {
            Error::Access(AccessError::NotAllowed { policies })
        }
        Denial::NotPermitted => {
            let Some(grant) = tenant.grant(location.account) else {
                let Location { account, region } = location.clone();
                return Error::Request(RequestError::AccountNotFound(UnresolvedLocation {
                    account: Some(account),
                    region: Some(region),
                }));
            };
            match (target, key) {
                (Some(Target::LogGroup(name)), _) if !grant.allows_log_group(name) => {
                    Error::Request(RequestError::LogGroupNotFound {
                        name: name.clone(),
                        location: location.clone(),
                    })
                }
                (_, Some(key)) if !grant.allows_key(key) => Error::Request(RequestError::KeyNotFound {
                    key: KmsKeyId::Arn(key.clone()),
                    location: location.clone(),
                }),
                _ => Error::Access(AccessError::NotAllowed { policies: Vec::new() }),
            }
        }
    }
}
