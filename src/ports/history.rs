//! What the store knows of keys and of requests beside the log itself.

use std::fmt;

use async_trait::async_trait;

use super::Unavailable;
use crate::domain::{
    arn::KmsKeyArn,
    association::Location,
    association::Resource,
    history::{KeyRecord, Observation, Scan},
    idempotency::{IdempotencyKey, RequestRecord},
    time::Timestamp,
};

/// Tells which key was when on what.
#[async_trait]
pub trait KeyHistoryReader: Send + Sync + 'static {
    /// What is known of each of these resources, in no order; with all their former keys.
    async fn records(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable>;

    /// What has this key, or had it, by account, Region and name, after `after`, at most `limit`; of
    /// their former keys with this one only.
    async fn resources_with_key(
        &self,
        key: &KmsKeyArn,
        after: Option<&Resource>,
        limit: u32,
    ) -> Result<Vec<KeyRecord>, Unavailable>;

    /// The surveys of these places, as far as there were any, in no order.
    async fn scans(&self, locations: &[Location]) -> Result<Vec<Scan>, Unavailable>;
}

/// Keeps what was seen outside of a change.
#[async_trait]
pub trait KeyHistoryWriter: Send + Sync + 'static {
    /// Keeps these, in this order; when this returns, they are durable. One that is older than what is
    /// known already changes nothing.
    async fn upsert(&self, observations: &[Observation]) -> Result<(), Unavailable>;

    /// Keeps a survey whose sightings are kept already: a log group of the place that was not seen
    /// since it began is gone.
    async fn record_scan(&self, scan: &Scan) -> Result<(), Unavailable>;
}

/// Held while a request is this process's own.
#[derive(Debug, Default)]
pub struct RequestLock(#[expect(dead_code, reason = "held for its drop")] Option<Box<dyn LockGuard>>);

/// What is held: let go of when it is dropped.
pub trait LockGuard: fmt::Debug + Send + Sync {}

// === impl HeldRequest ===

impl RequestLock {
    /// By this.
    #[must_use]
    pub fn from_guard(keep: impl LockGuard + 'static) -> Self {
        Self(Some(Box::new(keep)))
    }
}

/// Remembers requests that came with an id of their own.
///
/// They are written through [`super::Batch`]. Whoever begins one has looked here first and lets nobody
/// else begin it meanwhile: within one process the use cases see to that, among several this does.
#[async_trait]
pub trait IdempotencyStore: Send + Sync + 'static {
    /// Keeps other processes from the request until what is returned is dropped; none while another one
    /// has it. Where there can be no other process, there is nothing to do.
    async fn lock(&self, _id: &IdempotencyKey) -> Result<Option<RequestLock>, Unavailable> {
        Ok(Some(RequestLock::default()))
    }

    /// The request with this id; none where there was none, or where it is forgotten by `now`.
    async fn find(&self, id: &IdempotencyKey, now: Timestamp) -> Result<Option<RequestRecord>, Unavailable>;
}
