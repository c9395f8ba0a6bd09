//! The locations in which a caller may read a key's usage. Loads the key's tags first if a policy requires
//! them.

use std::sync::Arc;

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{GetKeyUsage, ListKeyAssociations, Location, UnresolvedLocation},
        authorization::{Access, Authorized, Denial, PolicyFacts},
        aws::AccountId,
        request::UsageRequest,
        tenant::Tenant,
    },
    service::{
        context::Context,
        error::{AccessError, Error, RequestError},
        shared::{policy_facts, resolve},
    },
};

/// The locations in which the caller may read the key's usage: the requested one, or all of the tenant's
/// accounts in the key's Region. A key encrypts only in its own Region.
pub(super) async fn authorized_locations(
    cx: &mut Context,
    tenant: &Arc<Tenant>,
    key: &KmsKeyArn,
    request: &UsageRequest,
) -> Result<Vec<Authorized<GetKeyUsage>>, Error> {
    let UsageRequest { key: requested, location, .. } = request;
    let region = key.region().clone();
    if let Some(target) = location.region.as_ref().filter(|target| **target != region) {
        return Err(Error::Request(RequestError::KeyRegionMismatch { key: region, target: target.clone() }));
    }
    let command = |account| {
        let location = Location { account, region: region.clone() };
        GetKeyUsage { location, key: Some(key.clone()) }
    };
    let commands: Vec<GetKeyUsage> = if let Some(account) = location.account {
        let location = UnresolvedLocation { account: Some(account), region: Some(region.clone()) };
        resolve::resolve_location(tenant, &location)?;
        vec![command(account)]
    } else {
        let grants = tenant.accounts.iter().filter(|grant| grant.allows_region(&region));
        grants.map(|grant| command(grant.account)).collect()
    };
    let facts = load_facts(cx, tenant, key, &commands).await?;
    let (mut permitted, mut refusal) = (Vec::new(), None);
    for command in commands {
        match cx.decide_command(&facts, tenant, command) {
            Ok(authorized) => permitted.push(authorized),
            Err(Denial::NotPermitted) => {}
            Err(denial) => refusal = refusal.or(Some(denial)),
        }
    }
    if let Some(authorized) = permitted.first() {
        cx.audit.allowed(authorized.policies());
        return Ok(permitted);
    }
    let denial = refusal.unwrap_or(Denial::NotPermitted);
    cx.audit.denied(&denial);
    Err(match denial {
        Denial::Forbidden { policies } | Denial::Undecided { policies } => {
            Error::Access(AccessError::NotAllowed { policies })
        }
        // The error names the key as requested. It does not reveal which key an alias stands for.
        Denial::NotPermitted => {
            let location = Location { account: key.account(), region };
            Error::Request(RequestError::KeyNotFound { key: requested.clone(), location })
        }
    })
}

/// Access to a location before the requested key is resolved. Requires that the caller may read the usage of
/// any key in the location, or may list its associations.
pub(super) fn authorize_location_read(
    cx: &mut Context,
    tenant: &Arc<Tenant>,
    location: &Location,
) -> Result<Access, Error> {
    let any = GetKeyUsage { location: location.clone(), key: None };
    // A policy that depends on the key denies a request without one.
    if let Ok(authorized) = cx.decide_command(&PolicyFacts::default(), tenant, any) {
        return Ok(authorized.access().clone());
    }
    let list = ListKeyAssociations { location: location.clone() };
    cx.authorize(list).map(|authorized| authorized.access().clone())
}

/// The key's tags, if a policy requires them for one of the commands. They are the same for all commands.
async fn load_facts(
    cx: &mut Context,
    tenant: &Arc<Tenant>,
    key: &KmsKeyArn,
    commands: &[GetKeyUsage],
) -> Result<PolicyFacts, Error> {
    let mut facts =
        commands.iter().map(|command| (&command.location, cx.required_facts(tenant, command).key_tags));
    let Some((location, policies)) = facts.find(|(_, policies)| !policies.is_empty()) else {
        return Ok(PolicyFacts::default());
    };
    // KMS returns tags only within the key's own account.
    let own = Location { account: key.account(), region: key.region().clone() };
    let location = if is_granted(tenant, own.account, key) { &own } else { location };
    let access = authorize_location_read(cx, tenant, location)?;
    let tags = policy_facts::key_tags(cx, &access, key, &policies).await?;
    Ok(PolicyFacts { key_tags: Some(tags), ..PolicyFacts::default() })
}

fn is_granted(tenant: &Tenant, account: AccountId, key: &KmsKeyArn) -> bool {
    tenant.grant(account).is_some_and(|grant| grant.allows_region(key.region()))
}
