//! The parts of the store beside the audit log: the key records, the scans and the records of requests.

use std::fmt;

use async_trait::async_trait;

use super::unavailable::Unavailable;
use crate::domain::{
    arn::KmsKeyArn,
    association::Location,
    association::Resource,
    history::{KeyRecord, Observation, Scan},
    idempotency::{IdempotencyKey, RequestRecord},
    time::Timestamp,
};

/// Reads which keys resources have and had.
#[async_trait]
pub trait KeyHistoryReader: Send + Sync + 'static {
    /// The records of these resources with all their former keys, in no particular order.
    async fn records(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable>;

    /// The records of at most `limit` resources that have or had this key, ordered by account, Region and
    /// name, and starting after `after`. Of their former keys they contain only this one.
    async fn resources_with_key(
        &self,
        key: &KmsKeyArn,
        after: Option<&Resource>,
        limit: u32,
    ) -> Result<Vec<KeyRecord>, Unavailable>;

    /// The time of the newest fact about a resource of this location. `None` if there is none.
    async fn newest(&self, location: &Location) -> Result<Option<Timestamp>, Unavailable>;

    /// The scans of these locations, in no particular order. A location without a scan is omitted.
    async fn scans(&self, locations: &[Location]) -> Result<Vec<Scan>, Unavailable>;
}

/// Stores observations that do not belong to a change.
#[async_trait]
pub trait KeyHistoryWriter: Send + Sync + 'static {
    /// Stores these observations in this order. They are durable when this returns. An observation that is
    /// older than the resource's record changes nothing.
    async fn upsert(&self, observations: &[Observation]) -> Result<(), Unavailable>;

    /// Stores a scan whose observations are already stored. It marks the log groups of the location that were
    /// not observed since the scan began as deleted.
    async fn record_scan(&self, scan: &Scan) -> Result<(), Unavailable>;
}

/// The exclusive right of this process to a request, or to archive events, until it is dropped.
#[derive(Debug, Default)]
pub struct RequestLock(#[expect(dead_code, reason = "held for its drop")] Option<Box<dyn LockGuard>>);

/// A lock that is released on drop.
pub trait LockGuard: fmt::Debug + Send + Sync {}

// === impl RequestLock ===

impl RequestLock {
    /// A lock that holds `guard` until it is dropped.
    #[must_use]
    pub fn from_guard(guard: impl LockGuard + 'static) -> Self {
        Self(Some(Box::new(guard)))
    }
}

/// Finds the records of requests with an idempotency key.
///
/// [`super::Batch`] writes the records. Before a request begins, the caller has to find its record and to
/// keep everyone else from beginning it. Within a process the use cases do that; between processes, `lock`
/// does.
#[async_trait]
pub trait IdempotencyStore: Send + Sync + 'static {
    /// Keeps other processes from the request until the returned lock is dropped. `None` if another process
    /// has the lock. The default implementation is for stores with a single process and does nothing.
    async fn lock(&self, _id: &IdempotencyKey) -> Result<Option<RequestLock>, Unavailable> {
        Ok(Some(RequestLock::default()))
    }

    /// The record of this request. `None` if there is none, or if it has expired at `now`.
    async fn find(&self, id: &IdempotencyKey, now: Timestamp) -> Result<Option<RequestRecord>, Unavailable>;
}
