//! A fake of the audit log for reading: there is nothing in it, and nothing comes.

use async_trait::async_trait;

use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{AuditTree, EventFilter, EventReader, Labelled, LeafHash, SignedTree, StoredEvent, Unavailable},
};

/// An empty log, without a checkpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakeLog;

#[async_trait]
impl EventReader for FakeLog {
    async fn list(&self, _: &EventFilter, _: Option<u64>, _: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        Ok(Vec::new())
    }

    async fn next(&self, _: &EventFilter, _: u64, _: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        Ok(Vec::new())
    }

    async fn after(&self, _: u64, _: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        Ok(Vec::new())
    }

    async fn labelled(&self, _: u64, _: u32) -> Result<Vec<Labelled>, Unavailable> {
        Ok(Vec::new())
    }

    async fn unsettled(&self, _: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        Ok(Vec::new())
    }

    async fn find(&self, _: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        Ok(None)
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

    async fn grown(&self, _: u64) -> u64 {
        std::future::pending().await
    }
}
