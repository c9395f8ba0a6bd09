//! The state of one account in one Region.

use parking_lot::{Mutex, MutexGuard};

use super::{groups::LogGroups, keys::KeyRing, queues::Queues};
use crate::{partition, quota::TokenBuckets};

/// The state of one account in one Region.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) name: String,
    pub(crate) account_id: String,
    keys: Mutex<KeyRing>,
    logs: Mutex<LogGroups>,
    queues: Mutex<Queues>,
    buckets: Mutex<TokenBuckets>,
}

// === impl Region ===

impl Region {
    pub(super) fn new(name: &str, account: &str) -> Self {
        Self {
            name: name.to_owned(),
            account_id: account.to_owned(),
            keys: Mutex::default(),
            logs: Mutex::default(),
            queues: Mutex::default(),
            buckets: Mutex::default(),
        }
    }

    /// The ARN of a service's resource in this account and Region.
    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        let partition = partition::of_region(&self.name);
        format!("arn:{partition}:{service}:{}:{}:{resource}", self.name, self.account_id)
    }

    pub(crate) fn keys(&self) -> MutexGuard<'_, KeyRing> {
        self.keys.lock()
    }

    pub(crate) fn logs(&self) -> MutexGuard<'_, LogGroups> {
        self.logs.lock()
    }

    pub(crate) fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock()
    }

    pub(crate) fn buckets(&self) -> MutexGuard<'_, TokenBuckets> {
        self.buckets.lock()
    }

    /// The ARN of this Region's query results, for `AssociateKmsKey`.
    pub(crate) fn query_results_arn(&self) -> String {
        self.arn("logs", "query-result:*")
    }
}
