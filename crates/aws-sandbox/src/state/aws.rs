//! All accounts, the credentials of their callers, and the clock.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::{account::Account, keys::Key, region::Region};
use crate::{clock::Clock, identity::Credentials, quota::Quotas, seed::contents::ServiceIdentity};

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
    /// The ARN of the queue that gets the events of all accounts.
    pub(crate) event_queue: Option<String>,
    /// Shared, because there can be many accounts.
    pub(crate) quotas: Arc<Quotas>,
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

    /// The ARN of the queue that gets the events of all accounts.
    pub(crate) fn event_queue(&self) -> Option<String> {
        self.defaults.load().event_queue.clone()
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
