//! From what a caller said to one place: called first by every use case, guarantees that the place
//! stands open to the tenant.

use super::Error;
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        ask::UnresolvedResource,
        association::{Place, Resource, Target, UnresolvedPlace},
        authorization::{About, Denial},
        aws::Partition,
        tenant::{AccountGrant, Tenant},
    },
    ports::aws::Refusal,
};

/// The one account and Region that fit, by what was said and what the tenant has.
pub(super) fn place(tenant: &Tenant, said: &UnresolvedPlace) -> Result<Place, Error> {
    let fits = |grant: &&AccountGrant| {
        said.account.is_none_or(|account| account == grant.account)
            && said.region.as_ref().is_none_or(|region| grant.opens_region(region))
    };
    let mut fitting = tenant.accounts.iter().map(AsRef::as_ref).filter(fits);
    let grant = fitting.next().ok_or_else(|| Error::AccountNotFound(said.clone()))?;
    if fitting.next().is_some() {
        return Err(Error::Invalid {
            field: "account_id",
            problem: "is required: more than one of the tenant's accounts fits".into(),
        });
    }
    let region = match (&said.region, &*grant.regions) {
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
    Ok(Place { account: grant.account, region })
}

/// The resource that is meant. Reserved log groups are refused here, since AWS would refuse them.
pub(super) fn resource(tenant: &Tenant, said: UnresolvedResource) -> Result<Resource, Error> {
    let place = place(tenant, &said.place)?;
    match said.target {
        Target::LogGroup(name) if name.is_reserved() => Err(Error::LogGroupReserved(name)),
        target @ (Target::LogGroup(_) | Target::QueryResults) => Ok(Resource { place, target }),
    }
}

/// Whether the key can be used where the resource is.
pub(super) fn same_region(key: &KmsKeyArn, resource: &Resource) -> Result<(), Error> {
    let region = &resource.place.region;
    if key.region() == region && key.partition() == Partition::of(region) {
        Ok(())
    } else {
        Err(Error::KeyRegionMismatch { key: key.region().clone(), target: region.clone() })
    }
}

/// A log group that AWS does not know, in the words in which one is told that the caller may not see.
pub(super) fn absent(error: Error, resource: &Resource) -> Error {
    match (error, &resource.target) {
        (Error::Refused { refusal: Refusal::LogGroupNotFound, .. }, Target::LogGroup(name)) => {
            Error::LogGroupNotFound { name: name.clone(), place: resource.place.clone() }
        }
        (Error::Unrecorded { error }, _) => Error::Unrecorded { error: Box::new(absent(*error, resource)) },
        (error, _) => error,
    }
}

/// A key that the caller may not use, by the name it gave: what that name means is not told either.
pub(super) fn as_asked(error: Error, requested: &KmsKeyId) -> Error {
    if let Error::KeyNotFound { place, .. } = error {
        return Error::KeyNotFound { key: requested.clone(), place };
    }
    error
}

/// What a caller is told where policy said no to something that is about no command.
pub(super) fn withheld(denial: Denial, about: About<'_>) -> Error {
    match (denial, about) {
        (Denial::Forbidden { policies } | Denial::Undecided { policies }, _) => {
            Error::NotAllowed { policies }
        }
        (Denial::NotPermitted, About::Account(grant)) => {
            Error::AccountNotFound(UnresolvedPlace { account: Some(grant.account), region: None })
        }
        (Denial::NotPermitted, About::Aws { .. } | About::AuditLog(_) | About::Tenant) => {
            Error::NotAllowed { policies: Vec::new() }
        }
    }
}

/// What a caller is told where policy said no: what it may not see does not exist.
pub(super) fn denied(
    denial: Denial,
    tenant: &Tenant,
    place: &Place,
    target: Option<&Target>,
    key: Option<&KmsKeyArn>,
) -> Error {
    match denial {
        Denial::Forbidden { policies } | Denial::Undecided { policies } => Error::NotAllowed { policies },
        Denial::NotPermitted => {
            let Some(grant) = tenant.grant(place.account) else {
                let Place { account, region } = place.clone();
                return Error::AccountNotFound(UnresolvedPlace {
                    account: Some(account),
                    region: Some(region),
                });
            };
            match (target, key) {
                (Some(Target::LogGroup(name)), _) if !grant.opens_log_group(name) => {
                    Error::LogGroupNotFound { name: name.clone(), place: place.clone() }
                }
                (_, Some(key)) if !grant.opens_key(key) => {
                    Error::KeyNotFound { key: KmsKeyId::Arn(key.clone()), place: place.clone() }
                }
                _ => Error::NotAllowed { policies: Vec::new() },
            }
        }
    }
}
