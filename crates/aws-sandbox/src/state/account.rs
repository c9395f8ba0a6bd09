//! One account: its roles, its settings and its Regions.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::region::Region;
use crate::{partition, policy::evaluation::Policy, quota::Quotas, seed::contents::QueryPlan, validate};

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
    pub(crate) boundary: Option<Policy>,
    /// The organization's deny statements.
    pub(crate) service_control: Option<Policy>,
    /// In seconds.
    pub(crate) max_session_duration: i64,
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
        self.roles.lock().get(name).cloned()
    }

    pub(crate) fn put_role(&self, role: Role) {
        self.roles.lock().insert(role.name.clone(), Arc::new(role));
    }

    /// The account's state in a Region; `None` if the Region is not enabled.
    pub(crate) fn region(&self, name: &str) -> Option<Arc<Region>> {
        let found = self.regions.lock().get(name).cloned();
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
        self.regions.lock().values().cloned().collect()
    }

    /// Enables a Region if it is not enabled yet.
    pub(crate) fn enable(&self, name: &str) -> Arc<Region> {
        let fresh = || Arc::new(Region::new(name, &self.id));
        let mut regions = self.regions.lock();
        Arc::clone(regions.entry(name.to_owned()).or_insert_with(fresh))
    }
}
