//! Who callers belong to, and what stands open to them in which AWS account.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    num::NonZeroU32,
    str::FromStr,
    sync::Arc,
};

use thiserror::Error;

use super::{
    arn::KmsKeyArn,
    association::{LogGroupName, Target},
    aws::{AccountId, ExternalId, Region, RoleArn},
    pattern::Pattern,
};

/// Longest tenant id.
const MAX_TENANT_ID: usize = 63;

/// A tenant's stable name: 1 to 63 of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// A tenant and everything the configuration grants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The name.
    pub id: TenantId,
    /// The only issuers whose tokens may speak for it.
    pub issuers: Vec<Arc<str>>,
    /// The values of the tenant claim that mean it.
    pub claim_values: Vec<Arc<str>>,
    /// Whether its calls are refused for now.
    pub suspended: bool,
    /// How much it may call.
    pub limits: Limits,
    /// What it may touch, one entry an account.
    pub accounts: Vec<Arc<AccountGrant>>,
}

/// What a tenant may touch in one account, and through which role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountGrant {
    /// The account.
    pub account: AccountId,
    /// The role that is assumed there.
    pub role: RoleArn,
    /// What the role's trust policy asks for.
    pub external_id: ExternalId,
    /// The Regions that are open.
    pub regions: Arc<[Region]>,
    /// The names of log groups that are open.
    pub log_groups: Vec<Pattern>,
    /// The ARNs of keys that may be used.
    pub kms_keys: Vec<Pattern>,
    /// Whether the key of the account's query results may be set.
    pub query_results: bool,
    /// Whether that key is verified by running a query, where it is read.
    pub verify_query_results: bool,
}

/// How much a tenant may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls a second in the long run.
    pub per_second: NonZeroU32,
    /// Calls that may come at once after a rest.
    pub burst: NonZeroU32,
    /// Calls that may be under way at once.
    pub max_in_flight: NonZeroU32,
}

/// Every tenant, found by id or by what a token says. Built whole, then only read.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    by_id: HashMap<TenantId, Arc<Tenant>>,
    by_claim: HashMap<Arc<str>, HashMap<Arc<str>, Arc<Tenant>>>,
}

/// The text was not a tenant id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a tenant id: 1 to {MAX_TENANT_ID} of a-z, 0-9 and - are expected")]
pub struct InvalidTenantId;

/// Two tenants that cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DuplicateTenant {
    /// The same id twice.
    #[error("tenant {0} stands here twice")]
    Id(TenantId),
    /// The same claim value of the same issuer for two tenants.
    #[error("claim value {value:?} of issuer {issuer:?} means both {first} and {second}")]
    Claim {
        /// The issuer.
        issuer: Box<str>,
        /// The value of its tenant claim.
        value: Box<str>,
        /// The tenant that has it.
        first: TenantId,
        /// The tenant that wants it too.
        second: TenantId,
    },
}

// === impl TenantId ===

impl TenantId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a claim value that means it, where no others are given.
    #[must_use]
    pub fn as_claim_value(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for TenantId {
    type Err = InvalidTenantId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=MAX_TENANT_ID).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidTenantId)
        }
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Tenant ===

impl Tenant {
    /// What it may touch in this account.
    #[must_use]
    pub fn grant(&self, account: AccountId) -> Option<&Arc<AccountGrant>> {
        self.accounts.iter().find(|grant| grant.account == account)
    }
}

// === impl AccountGrant ===

impl AccountGrant {
    /// Whether the Region is open.
    #[must_use]
    pub fn allows_region(&self, region: &Region) -> bool {
        self.regions.contains(region)
    }

    /// Whether the log group's name fits one of the patterns.
    #[must_use]
    pub fn allows_log_group(&self, name: &LogGroupName) -> bool {
        self.log_groups.iter().any(|pattern| pattern.matches(name.as_str()))
    }

    /// Whether the target is open.
    #[must_use]
    pub fn allows(&self, target: &Target) -> bool {
        match target {
            Target::LogGroup(name) => self.allows_log_group(name),
            Target::QueryResults => self.query_results,
        }
    }

    /// Whether the key's ARN fits one of the patterns.
    #[must_use]
    pub fn allows_key(&self, key: &KmsKeyArn) -> bool {
        self.kms_keys.iter().any(|pattern| pattern.matches(key.as_str()))
    }
}

// === impl Tenants ===

impl Tenants {
    /// Puts tenants together.
    ///
    /// # Errors
    ///
    /// Every [`Ambiguous`] pair.
    pub fn new(tenants: impl IntoIterator<Item = Tenant>) -> Result<Self, Vec<DuplicateTenant>> {
        let mut all = Self::default();
        let mut faults = Vec::new();
        for tenant in tenants.into_iter().map(Arc::new) {
            match all.by_id.entry(tenant.id.clone()) {
                Entry::Occupied(taken) => {
                    faults.push(DuplicateTenant::Id(taken.key().clone()));
                    continue;
                }
                Entry::Vacant(free) => drop(free.insert(Arc::clone(&tenant))),
            }
            for issuer in &tenant.issuers {
                let values = all.by_claim.entry(Arc::clone(issuer)).or_default();
                for value in &tenant.claim_values {
                    match values.entry(Arc::clone(value)) {
                        Entry::Vacant(free) => drop(free.insert(Arc::clone(&tenant))),
                        Entry::Occupied(taken) => faults.push(DuplicateTenant::Claim {
                            issuer: (&**issuer).into(),
                            value: (&**value).into(),
                            first: taken.get().id.clone(),
                            second: tenant.id.clone(),
                        }),
                    }
                }
            }
        }
        if faults.is_empty() { Ok(all) } else { Err(faults) }
    }

    /// The tenant with this id.
    #[must_use]
    pub fn find(&self, id: &TenantId) -> Option<&Arc<Tenant>> {
        self.by_id.get(id)
    }

    /// The tenant that a token of `issuer` with this value of the tenant claim speaks for.
    #[must_use]
    pub fn by_claim(&self, issuer: &str, claim_value: &str) -> Option<&Arc<Tenant>> {
        self.by_claim.get(issuer)?.get(claim_value)
    }

    /// Every tenant, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.by_id.values()
    }

    /// Every tenant as often as it is found here, so that whoever has many can let go of them bit by bit.
    pub fn drain(self) -> impl Iterator<Item = Arc<Tenant>> {
        self.by_claim.into_values().flat_map(HashMap::into_values).chain(self.by_id.into_values())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: &str, issuer: &str, value: &str) -> Tenant {
        let limit = NonZeroU32::MIN;
        Tenant {
            id: id.parse().unwrap(),
            issuers: vec![issuer.into()],
            claim_values: vec![value.into()],
            suspended: false,
            limits: Limits { per_second: limit, burst: limit, max_in_flight: limit },
            accounts: Vec::new(),
        }
    }

    #[test]
    fn a_claim_value_means_a_tenant_only_from_an_issuer_the_tenant_names() {
        let all = Tenants::new([tenant("a", "https://one", "x"), tenant("b", "https://two", "x")]).unwrap();
        assert_eq!(all.by_claim("https://one", "x").unwrap().id.as_str(), "a");
        assert_eq!(all.by_claim("https://two", "x").unwrap().id.as_str(), "b");
        assert!(all.by_claim("https://three", "x").is_none());
        assert!(all.by_claim("https://one", "a").is_none());
    }

    #[test]
    fn tenants_that_cannot_be_told_apart_are_refused() {
        let faults =
            Tenants::new([tenant("a", "i", "x"), tenant("a", "j", "y"), tenant("b", "i", "x")]).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    #[test]
    fn tenant_ids_are_lower_case_labels() {
        for text in ["", "Payments", "a_b", "a b", &"x".repeat(64)] {
            assert_eq!(text.parse::<TenantId>(), Err(InvalidTenantId), "{text:?}");
        }
        assert!("payments-eu-2".parse::<TenantId>().is_ok());
    }
}
