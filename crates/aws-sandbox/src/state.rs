//! The state of the embedded AWS: accounts and their roles, and for each Region the keys, log groups and
//! quotas. Each account and Region has separate locks, and no lock is taken while another is held.

pub(crate) mod groups;
pub(crate) mod keys;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use self::{
    groups::LogGroups,
    keys::{Key, KeyRing},
};
use super::{
    clock::Clock,
    identity::Credentials,
    partition,
    policy::Policy,
    quota::{Quotas, TokenBuckets},
    seed::{QueryPlan, ServiceIdentity},
    validate,
};

/// All accounts, the credentials of their callers, and the clock.
#[derive(Debug)]
pub(crate) struct AwsState {
    pub(crate) clock: Clock,
    pub(crate) credentials: Credentials,
    accounts: ArcSwap<HashMap<String, Arc<Account>>>,
    defaults: ArcSwap<Defaults>,
}

/// Settings for accounts whose seed does not override them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) service_identity: ServiceIdentity,
    /// Shared, because there can be many accounts.
    pub(crate) quotas: Arc<Quotas>,
}

/// One AWS account.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) partition: &'static str,
    /// The Region of global services such as IAM.
    default_region: Arc<Region>,
    quotas: ArcSwap<Quotas>,
    queries: ArcSwap<QueryPlan>,
    every_region: AtomicBool,
    roles: Mutex<HashMap<String, Arc<Role>>>,
    regions: Mutex<HashMap<String, Arc<Region>>>,
}

/// One IAM role.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// `AROA…`; the user ids of the role's sessions start with it.
    pub(crate) unique_id: String,
    pub(crate) trust: Policy,
    pub(crate) identity: Policy,
    /// The organization's deny statements.
    pub(crate) service_control: Option<Policy>,
    /// In seconds.
    pub(crate) max_session_duration: i64,
}

/// The state of one account in one Region.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) name: String,
    pub(crate) account_id: String,
    keys: Mutex<KeyRing>,
    logs: Mutex<LogGroups>,
    buckets: Mutex<TokenBuckets>,
}

// === impl AwsState ===

impl AwsState {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            credentials: Credentials::default(),
            accounts: ArcSwap::default(),
            defaults: ArcSwap::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn defaults(&self) -> Defaults {
        Defaults::clone(&self.defaults.load())
    }

    pub(crate) fn set_defaults(&self, defaults: Defaults) {
        self.defaults.store(Arc::new(defaults));
    }

    pub(crate) fn account(&self, id: &str) -> Option<Arc<Account>> {
        self.accounts.load().get(id).cloned()
    }

    /// The key with this ARN, and its Region.
    pub(crate) fn key(&self, arn: &str) -> Option<(Arc<Region>, Arc<Key>)> {
        let mut parts = arn.splitn(6, ':').skip(3);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let region = self.account(account)?.region(region)?;
        let key = region.keys().key(resource.strip_prefix("key/")?)?;
        Some((region, key))
    }

    /// Every account, in no particular order.
    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        self.accounts.load().values().cloned().collect()
    }

    /// Adds all the accounts in one step.
    pub(crate) fn add_accounts(&self, added: &[Arc<Account>]) {
        self.accounts.rcu(|accounts| {
            let mut accounts = HashMap::clone(accounts);
            accounts.extend(added.iter().map(|a| (a.id.clone(), Arc::clone(a))));
            accounts
        });
    }
}

// === impl Account ===

impl Account {
    pub(crate) fn new(id: String, partition: &'static str, quotas: Arc<Quotas>) -> Self {
        Self {
            partition,
            default_region: Arc::new(Region::new(partition::default_region(partition), &id)),
            id,
            quotas: ArcSwap::new(quotas),
            queries: ArcSwap::default(),
            every_region: AtomicBool::new(false),
            roles: Mutex::default(),
            regions: Mutex::default(),
        }
    }

    pub(crate) fn quotas(&self) -> arc_swap::Guard<Arc<Quotas>> {
        self.quotas.load()
    }

    pub(crate) fn set_quotas(&self, quotas: Quotas) {
        self.quotas.store(Arc::new(quotas));
    }

    /// How many polls find a query running, and how it ends.
    pub(crate) fn queries(&self) -> arc_swap::Guard<Arc<QueryPlan>> {
        self.queries.load()
    }

    pub(crate) fn set_queries(&self, plan: QueryPlan) {
        self.queries.store(Arc::new(plan));
    }

    pub(crate) fn role(&self, name: &str) -> Option<Arc<Role>> {
        lock(&self.roles).get(name).cloned()
    }

    pub(crate) fn put_role(&self, role: Role) {
        lock(&self.roles).insert(role.name.clone(), Arc::new(role));
    }

    /// The account's state in a Region; `None` if the Region is not enabled.
    pub(crate) fn region(&self, name: &str) -> Option<Arc<Region>> {
        let found = lock(&self.regions).get(name).cloned();
        let available = || self.every_region.load(Ordering::Relaxed) && validate::is_region(name);
        found.or_else(|| available().then(|| self.enable(name)))
    }

    /// The Region of global services. It holds only their token buckets.
    pub(crate) fn default_region(&self) -> Arc<Region> {
        Arc::clone(&self.default_region)
    }

    /// From now on, enables each Region on first use.
    pub(crate) fn open_every_region(&self) {
        self.every_region.store(true, Ordering::Relaxed);
    }

    pub(crate) fn regions(&self) -> Vec<Arc<Region>> {
        lock(&self.regions).values().cloned().collect()
    }

    /// Enables a Region if it is not enabled yet.
    pub(crate) fn enable(&self, name: &str) -> Arc<Region> {
        let fresh = || Arc::new(Region::new(name, &self.id));
        let mut regions = lock(&self.regions);
        Arc::clone(regions.entry(name.to_owned()).or_insert_with(fresh))
    }
}

// === impl Region ===

impl Region {
    fn new(name: &str, account: &str) -> Self {
        Self {
            name: name.to_owned(),
            account_id: account.to_owned(),
            keys: Mutex::default(),
            logs: Mutex::default(),
            buckets: Mutex::default(),
        }
    }

    /// The ARN of a service's resource in this account and Region.
    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        let partition = partition::of_region(&self.name);
        format!("arn:{partition}:{service}:{}:{}:{resource}", self.name, self.account_id)
    }

    pub(crate) fn keys(&self) -> MutexGuard<'_, KeyRing> {
        lock(&self.keys)
    }

    pub(crate) fn logs(&self) -> MutexGuard<'_, LogGroups> {
        lock(&self.logs)
    }

    pub(crate) fn buckets(&self) -> MutexGuard<'_, TokenBuckets> {
        lock(&self.buckets)
    }

    /// The ARN of this Region's query results, for `AssociateKmsKey`.
    pub(crate) fn query_results_arn(&self) -> String {
        self.arn("logs", "query-result:*")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
