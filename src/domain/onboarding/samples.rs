//! Sample log groups and keys that match a grant's patterns. `TestAccess` simulates the role's permissions
//! with them; they need not exist.

#[cfg(test)]
mod tests;

use crate::domain::{
    arn::KmsKeyArn,
    association::{Location, LogGroupName, Resource, Target},
    pattern::Pattern,
    tenant::AccountGrant,
};

/// Replaces `*` in the name of a log group.
const NAME: &str = "logkey-access-test";
/// Replaces `*` in a key id.
const KEY_ID: &str = "00000000-0000-0000-0000-000000000000";
/// The maximum number of samples of each kind.
const MAX_SAMPLES: usize = 10;

/// One log group for each pattern, and the query results if they are granted.
#[must_use]
pub fn sample_targets(grant: &AccountGrant, location: &Location) -> Vec<Resource> {
    let names = grant.log_groups.iter().filter_map(|pattern| {
        let name: LogGroupName = pattern.as_str().replace('*', NAME).parse().ok()?;
        (!name.is_reserved()).then_some(Target::LogGroup(name))
    });
    let results = grant.query_results.then_some(Target::QueryResults);
    let targets = names.take(MAX_SAMPLES).chain(results);
    targets.map(|target| Resource { location: location.clone(), target }).collect()
}

/// One key of the location for each pattern that can match a key there.
#[must_use]
pub fn sample_keys(grant: &AccountGrant, location: &Location) -> Vec<KmsKeyArn> {
    grant
        .kms_keys
        .iter()
        .filter_map(|pattern| sample_key(grant, location, pattern))
        .take(MAX_SAMPLES)
        .collect()
}

/// The granted keys of the location whose pattern has no `*`.
#[must_use]
pub fn exact_keys(grant: &AccountGrant, location: &Location) -> Vec<KmsKeyArn> {
    let exact = grant.kms_keys.iter().filter(|pattern| !pattern.as_str().contains('*'));
    let keys = exact.filter_map(|pattern| pattern.as_str().parse::<KmsKeyArn>().ok());
    keys.filter(|key| *key.region() == location.region).collect()
}

fn sample_key(grant: &AccountGrant, location: &Location, pattern: &Pattern) -> Option<KmsKeyArn> {
    let filled = |text: &str, with: &str| if text.contains('*') { with.to_owned() } else { text.to_owned() };
    let any = || {
        format!("arn:{}:kms:{}:{}:key/{KEY_ID}", grant.role.partition(), location.region, location.account)
    };
    let mut parts = pattern.as_str().splitn(6, ':');
    let mut next = || parts.next();
    let arn = match (next(), next(), next(), next(), next(), next()) {
        (Some(_), Some(_), Some(_), Some(region), Some(account), Some(resource)) => format!(
            "arn:{}:kms:{}:{}:{}",
            grant.role.partition(),
            filled(region, location.region.as_str()),
            filled(account, location.account.as_str()),
            if resource == "*" { format!("key/{KEY_ID}") } else { resource.replace('*', KEY_ID) },
        ),
        _ => any(),
    };
    let key: KmsKeyArn = arn.parse().ok()?;
    (*key.region() == location.region && pattern.matches(key.as_str())).then_some(key)
}
