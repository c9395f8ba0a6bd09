//! A fake of the audit log for reading, with a configurable number of events that belong to no tenant.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{
        AuditTree, BatchTag, EventFilter, EventReader, IndexCheckedEvent, LeafHash, SignedTree, StoredBatch,
        StoredEvent, Unavailable,
    },
};

/// A log without a checkpoint. It is empty at first.
#[derive(Default)]
pub struct FakeLog {
    size: watch::Sender<u64>,
    fails: AtomicBool,
    tag: Mutex<Option<MakeTag>>,
}

/// Makes the tag of a batch with one event.
type MakeTag = Box<dyn Fn(&StoredEvent) -> BatchTag + Send>;

// === impl FakeLog ===

impl FakeLog {
    /// Gives each event a tag, as a batch with one event. Without this, events have none.
    pub fn tag_with(&self, tag: impl Fn(&StoredEvent) -> BatchTag + Send + 'static) {
        *self.tag.lock() = Some(Box::new(tag));
    }

    /// Sets the number of events.
    pub fn grow_to(&self, size: u64) {
        self.size.send_replace(size);
    }

    /// Fails every further read of events.
    pub fn fail(&self) {
        self.fails.store(true, SeqCst);
    }

    fn events(&self, after: u64, through: u64, max: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        if self.fails.load(SeqCst) {
            return Err(Unavailable { dependency: "audit log", source: None });
        }
        let event = |seq| StoredEvent {
            seq,
            id: EventId(Uuid::from_u128(seq.into())),
            tenant: None,
            body: format!("{{\"seq\":{seq}}}"),
        };
        let all = after + 1..=through.min(*self.size.borrow());
        Ok(all.take(usize::try_from(max).unwrap()).map(event).collect())
    }
}

#[async_trait]
impl EventReader for FakeLog {
    async fn list(
        &self,
        _: &EventFilter,
        before: Option<u64>,
        max: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        let end = before.map_or(*self.size.borrow(), |before| before.saturating_sub(1));
        let mut newest = self.events(end.saturating_sub(max.into()), end, max)?;
        newest.reverse();
        Ok(newest)
    }

    async fn next(
        &self,
        filter: &EventFilter,
        through: u64,
        max: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        self.events(filter.after.unwrap_or_default(), through, max)
    }

    async fn after(&self, after: u64, max: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        self.events(after, u64::MAX, max)
    }

    async fn index_check(&self, _: u64, _: u32) -> Result<Vec<IndexCheckedEvent>, Unavailable> {
        Ok(Vec::new())
    }

    async fn open_intents(&self, _: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        Ok(Vec::new())
    }

    async fn find(&self, _: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        Ok(None)
    }

    async fn batches(&self, after: u64, through: u64) -> Result<Vec<StoredBatch>, Unavailable> {
        let events = self.events(after, through, u32::MAX)?;
        let tag = self.tag.lock();
        let tag = |event: &StoredEvent| tag.as_ref().map(|tag| tag(event)).unwrap_or_default();
        Ok(events
            .iter()
            .map(|event| StoredBatch { first: event.seq, last: event.seq, tag: tag(event) })
            .collect())
    }

    async fn count_misplaced(&self) -> Result<u64, Unavailable> {
        Ok(0)
    }
}

#[async_trait]
impl AuditTree for FakeLog {
    async fn newest(&self) -> Result<SignedTree, Unavailable> {
        Err(Unavailable { dependency: "audit tree", source: None })
    }

    async fn inclusion(&self, _: u64, _: u64) -> Result<Vec<LeafHash>, Unavailable> {
        Ok(Vec::new())
    }

    async fn consistency(&self, _: u64, _: u64) -> Result<Vec<LeafHash>, Unavailable> {
        Ok(Vec::new())
    }

    fn leaf(&self, _: &[u8]) -> LeafHash {
        [0; 32]
    }

    fn verifiers(&self) -> Vec<String> {
        Vec::new()
    }

    async fn wait_for_size(&self, beyond: u64) -> u64 {
        let mut size = self.size.subscribe();
        let grown = size.wait_for(|size| *size > beyond).await.unwrap();
        *grown
    }
}

impl std::fmt::Debug for FakeLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeLog")
    }
}
