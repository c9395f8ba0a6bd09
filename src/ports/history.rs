//! What the store knows of keys and of requests beside the log itself.

use std::fmt;

use async_trait::async_trait;

use super::Unavailable;
use crate::domain::{
    arn::KmsKeyArn,
    association::Place,
    association::Resource,
    history::{Known, Sighting, Survey},
    request::{KeptRequest, OwnId},
    time::Timestamp,
};

/// Tells which key was when on what.
#[async_trait]
pub trait KeyHistory: Send + Sync + 'static {
    /// What is known of each of these resources, in no order; with all their former keys.
    async fn known(&self, resources: &[Resource]) -> Result<Vec<Known>, Unavailable>;

    /// What has this key, or had it, by account, Region and name, after `after`, at most `limit`; of
    /// their former keys with this one only.
    async fn touched(
        &self,
        key: &KmsKeyArn,
        after: Option<&Resource>,
        limit: u32,
    ) -> Result<Vec<Known>, Unavailable>;

    /// The surveys of these places, as far as there were any, in no order.
    async fn surveys(&self, places: &[Place]) -> Result<Vec<Survey>, Unavailable>;
}

/// Keeps what was seen outside of a change.
#[async_trait]
pub trait KeepHistory: Send + Sync + 'static {
    /// Keeps these, in this order; when this returns, they are durable. One that is older than what is
    /// known already changes nothing.
    async fn keep(&self, seen: &[Sighting]) -> Result<(), Unavailable>;

    /// Keeps a survey whose sightings are kept already: a log group of the place that was not seen
    /// since it began is gone.
    async fn surveyed(&self, survey: &Survey) -> Result<(), Unavailable>;
}

/// Held while a request is this process's own.
#[derive(Debug, Default)]
pub struct HeldRequest(#[expect(dead_code, reason = "held for its drop")] Option<Box<dyn Keep>>);

/// What is held: let go of when it is dropped.
pub trait Keep: fmt::Debug + Send + Sync {}

// === impl HeldRequest ===

impl HeldRequest {
    /// By this.
    #[must_use]
    pub fn by(keep: impl Keep + 'static) -> Self {
        Self(Some(Box::new(keep)))
    }
}

/// Remembers requests that came with an id of their own.
///
/// They are written through [`super::Batch`]. Whoever begins one has looked here first and lets nobody
/// else begin it meanwhile: within one process the use cases see to that, among several this does.
#[async_trait]
pub trait RequestRecords: Send + Sync + 'static {
    /// Keeps other processes from the request until what is returned is dropped; none while another one
    /// has it. Where there can be no other process, there is nothing to do.
    async fn hold(&self, _id: &OwnId) -> Result<Option<HeldRequest>, Unavailable> {
        Ok(Some(HeldRequest::default()))
    }

    /// The request with this id; none where there was none, or where it is forgotten by `now`.
    async fn find(&self, id: &OwnId, now: Timestamp) -> Result<Option<KeptRequest>, Unavailable>;
}
