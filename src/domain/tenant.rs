//! Tenants and what the configuration grants them in each AWS account.

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
    fleet::rule_definition::ConfiguredRule,
    pattern::Pattern,
};

/// Maximum length of a tenant id.
const MAX_TENANT_ID: usize = 63;

/// A tenant's stable name: 1 to 63 characters of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// A tenant with everything that the configuration grants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The tenant's id.
    pub id: TenantId,
    /// The issuers whose tokens can belong to the tenant.
    pub issuers: Vec<Arc<str>>,
    /// The values of the tenant claim that identify the tenant.
    pub claim_values: Vec<Arc<str>>,
    /// Whether the service denies the tenant's calls.
    pub suspended: bool,
    /// The tenant quota.
    pub limits: Limits,
    /// The grants, one for each account.
    pub accounts: Vec<Arc<AccountGrant>>,
    /// The encryption rules of the configuration.
    pub rules: Vec<ConfiguredRule>,
}

/// What a tenant may use in one account, and through which role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountGrant {
    /// The granted account.
    pub account: AccountId,
    /// The role that the service assumes in the account.
    pub role: RoleArn,
    /// The external id that the role's trust policy requires.
    pub external_id: ExternalId,
    /// The granted Regions.
    pub regions: Arc<[Region]>,
    /// Patterns for the names of the granted log groups.
    pub log_groups: Vec<Pattern>,
    /// Patterns for the ARNs of the keys that the tenant may set.
    pub kms_keys: Vec<Pattern>,
    /// Whether the tenant may set the key of the account's query results.
    pub query_results: bool,
    /// Whether a read of that key runs a probe to verify it.
    pub verify_query_results: bool,
}

/// A tenant quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The sustained number of calls per second.
    pub per_second: NonZeroU32,
    /// The number of calls that may arrive at once after an idle time.
    pub burst: NonZeroU32,
    /// The number of calls that may be in flight at once.
    pub max_in_flight: NonZeroU32,
}

/// Every tenant, indexed by id and by issuer and claim value. It does not change after it is built.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    by_id: HashMap<TenantId, Arc<Tenant>>,
    by_claim: HashMap<Arc<str>, HashMap<Arc<str>, Arc<Tenant>>>,
}

/// The text is not a tenant id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a tenant id; expected 1 to {MAX_TENANT_ID} characters of a-z, 0-9 and -")]
pub struct InvalidTenantId;

/// Two tenants that cannot be distinguished.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DuplicateTenant {
    /// Two tenants have the same id.
    #[error("tenant {0} is defined twice")]
    Id(TenantId),
    /// Two tenants have the same claim value of the same issuer.
    #[error(
        "claim value {value:?} of issuer {issuer:?} is assigned to both tenant {first} and tenant {second}"
    )]
    Claim {
        /// The issuer that both tenants name.
        issuer: Box<str>,
        /// The value of the tenant claim.
        value: Box<str>,
        /// The first tenant with the value.
        first: TenantId,
        /// The second tenant with the value.
        second: TenantId,
    },
}

// === impl TenantId ===

impl TenantId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a claim value, the default if the configuration gives none.
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
    /// The tenant's grant in this account.
    #[must_use]
    pub fn grant(&self, account: AccountId) -> Option<&Arc<AccountGrant>> {
        self.accounts.iter().find(|grant| grant.account == account)
    }
}

// === impl AccountGrant ===

impl AccountGrant {
    /// Whether the Region is granted.
    #[must_use]
    pub fn allows_region(&self, region: &Region) -> bool {
        self.regions.contains(region)
    }

    /// Whether the log group's name matches one of the patterns.
    #[must_use]
    pub fn allows_log_group(&self, name: &LogGroupName) -> bool {
        self.log_groups.iter().any(|pattern| pattern.matches(name.as_str()))
    }

    /// Whether the target is granted.
    #[must_use]
    pub fn allows(&self, target: &Target) -> bool {
        match target {
            Target::LogGroup(name) => self.allows_log_group(name),
            Target::QueryResults => self.query_results,
        }
    }

    /// Whether the key's ARN matches one of the patterns.
    #[must_use]
    pub fn allows_key(&self, key: &KmsKeyArn) -> bool {
        self.kms_keys.iter().any(|pattern| pattern.matches(key.as_str()))
    }
}

// === impl Tenants ===

impl Tenants {
    /// Indexes the tenants.
    ///
    /// # Errors
    ///
    /// Every [`DuplicateTenant`].
    pub fn new(tenants: impl IntoIterator<Item = Tenant>) -> Result<Self, Vec<DuplicateTenant>> {
        let mut all = Self::default();
        let mut duplicates = Vec::new();
        for tenant in tenants.into_iter().map(Arc::new) {
            match all.by_id.entry(tenant.id.clone()) {
                Entry::Occupied(taken) => {
                    duplicates.push(DuplicateTenant::Id(taken.key().clone()));
                    continue;
                }
                Entry::Vacant(free) => drop(free.insert(Arc::clone(&tenant))),
            }
            for issuer in &tenant.issuers {
                let values = all.by_claim.entry(Arc::clone(issuer)).or_default();
                for value in &tenant.claim_values {
                    match values.entry(Arc::clone(value)) {
                        Entry::Vacant(free) => drop(free.insert(Arc::clone(&tenant))),
                        Entry::Occupied(taken) => duplicates.push(DuplicateTenant::Claim {
                            issuer: (&**issuer).into(),
                            value: (&**value).into(),
                            first: taken.get().id.clone(),
                            second: tenant.id.clone(),
                        }),
                    }
                }
            }
        }
        if duplicates.is_empty() { Ok(all) } else { Err(duplicates) }
    }

    /// The tenant with this id.
    #[must_use]
    pub fn find(&self, id: &TenantId) -> Option<&Arc<Tenant>> {
        self.by_id.get(id)
    }

    /// The tenant of a token from `issuer` with this value of the tenant claim.
    #[must_use]
    pub fn by_claim(&self, issuer: &str, claim_value: &str) -> Option<&Arc<Tenant>> {
        self.by_claim.get(issuer)?.get(claim_value)
    }

    /// Every tenant, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.by_id.values()
    }

    /// Every entry of both indexes, so that the caller can drop a large number of tenants in steps. A tenant
    /// occurs once for each entry.
    pub fn drain(self) -> impl Iterator<Item = Arc<Tenant>> {
        self.by_claim.into_values().flat_map(HashMap::into_values).chain(self.by_id.into_values())
    }

    /// The number of tenants.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are no tenants.
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
            rules: Vec::new(),
        }
    }

    #[test]
    fn a_claim_value_identifies_a_tenant_only_with_the_tenants_issuer() {
        let all = Tenants::new([tenant("a", "https://one", "x"), tenant("b", "https://two", "x")]).unwrap();
        assert_eq!(all.by_claim("https://one", "x").unwrap().id.as_str(), "a");
        assert_eq!(all.by_claim("https://two", "x").unwrap().id.as_str(), "b");
        assert!(all.by_claim("https://three", "x").is_none());
        assert!(all.by_claim("https://one", "a").is_none());
    }

    #[test]
    fn duplicate_tenants_are_rejected() {
        let duplicates =
            Tenants::new([tenant("a", "i", "x"), tenant("a", "j", "y"), tenant("b", "i", "x")]).unwrap_err();
        assert_eq!(duplicates.len(), 2, "{duplicates:?}");
    }

    #[test]
    fn tenant_ids_are_lower_case_labels() {
        for text in ["", "Payments", "a_b", "a b", &"x".repeat(64)] {
            assert_eq!(text.parse::<TenantId>(), Err(InvalidTenantId), "{text:?}");
        }
        assert!("payments-eu-2".parse::<TenantId>().is_ok());
    }
}
