//! In which places a caller may ask about a key: with the key's tags in hand where a policy goes by them.

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
        error::Error,
        shared::{policy_facts, resolve},
    },
};

/// The places in which the caller may ask about the key: the one that was said, or all of the
/// tenant's in the key's Region, since a key encrypts in its own Region only.
pub(super) async fn authorized_locations(
    cx: &mut Context,
    tenant: &Arc<Tenant>,
    key: &KmsKeyArn,
    request: &UsageRequest,
) -> Result<Vec<Authorized<GetKeyUsage>>, Error> {
    let UsageRequest { key: named, location, .. } = request;
    let region = key.region().clone();
    if let Some(location) = location.region.as_ref().filter(|location| **location != region) {
        return Err(Error::KeyRegionMismatch { key: region, target: location.clone() });
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
        let opened = tenant.accounts.iter().filter(|grant| grant.allows_region(&region));
        opened.map(|grant| command(grant.account)).collect()
    };
    let facts = load_facts(cx, tenant, key, &commands).await?;
    let (mut permits, mut refusal) = (Vec::new(), None);
    for command in commands {
        match cx.decide_command(&facts, tenant, command) {
            Ok(permit) => permits.push(permit),
            Err(Denial::NotPermitted) => {}
            Err(denial) => refusal = refusal.or(Some(denial)),
        }
    }
    if let Some(permit) = permits.first() {
        cx.audit.allowed(permit.policies());
        return Ok(permits);
    }
    let denial = refusal.unwrap_or(Denial::NotPermitted);
    cx.audit.denied(&denial);
    Err(match denial {
        Denial::Forbidden { policies } | Denial::Undecided { policies } => Error::NotAllowed { policies },
        // By the name that it was asked for: what an alias leads to is not told.
        Denial::NotPermitted => {
            Error::KeyNotFound { key: named.clone(), location: Location { account: key.account(), region } }
        }
    })
}

/// Leave to look at what a place holds before the key is known that is asked about: for whoever may
/// ask about keys there whichever they are, or may list what is there.
pub(super) fn authorize_location_read(
    cx: &mut Context,
    tenant: &Arc<Tenant>,
    location: &Location,
) -> Result<Access, Error> {
    let any = GetKeyUsage { location: location.clone(), key: None };
    // A policy that goes by the key refuses a question without one.
    if let Ok(authorized) = cx.decide_command(&PolicyFacts::default(), tenant, any) {
        return Ok(authorized.access().clone());
    }
    let list = ListKeyAssociations { location: location.clone() };
    cx.authorize(list).map(|authorized| authorized.access().clone())
}

/// The key's tags, where a policy about one of the commands goes by them; they are the same for all.
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
    // KMS shows tags within the key's own account alone.
    let own = Location { account: key.account(), region: key.region().clone() };
    let location = if is_granted(tenant, own.account, key) { &own } else { location };
    let access = authorize_location_read(cx, tenant, location)?;
    let tags = policy_facts::key_tags(cx, &access, key, &policies).await?;
    Ok(PolicyFacts { key_tags: Some(tags), ..PolicyFacts::default() })
}

fn is_granted(tenant: &Tenant, account: AccountId, key: &KmsKeyArn) -> bool {
    tenant.grant(account).is_some_and(|grant| grant.allows_region(key.region()))
}
