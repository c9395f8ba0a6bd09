//! The proofs of one tenant do not delay those of another, in paused time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::{sync::Semaphore, time};

use super::*;
use crate::{
    domain::{call::Action, time::Timestamp},
    ports::{AuditTree, EventFilter, EventReader, IndexCheckedEvent, StoredBatch, Unavailable},
    service::{AuditPorts, ServiceState, StreamLimits, tests::state_of},
    testing::{call, principal},
};

/// How long one read of the store takes.
const READ: Duration = Duration::from_millis(10);
/// The callers of the greedy tenant.
const CALLERS: usize = 64;
/// The deadline of the calls.
const DEADLINE: Duration = Duration::from_mins(1);

/// A store that serves four reads at once, in the order in which they came, like that of SQLite.
struct SlowStore(Semaphore);

impl SlowStore {
    async fn read<T>(&self, answer: T) -> Result<T, Unavailable> {
        let _connection = self.0.acquire().await.unwrap();
        time::sleep(READ).await;
        Ok(answer)
    }
}

#[async_trait]
impl AuditTree for SlowStore {
    async fn newest(&self) -> Result<SignedTree, Unavailable> {
        let tree = SignedTree { size: 9, root: [0; 32], time: Timestamp::from_secs(0), note: String::new() };
        self.read(tree).await
    }

    async fn inclusion(&self, _: u64, _: u64) -> Result<Vec<LeafHash>, Unavailable> {
        self.read(Vec::new()).await
    }

    async fn consistency(&self, _: u64, _: u64) -> Result<Vec<LeafHash>, Unavailable> {
        self.read(Vec::new()).await
    }

    fn leaf(&self, _: &[u8]) -> LeafHash {
        [0; 32]
    }

    fn verifiers(&self) -> Vec<String> {
        Vec::new()
    }

    async fn wait_for_size(&self, beyond: u64) -> u64 {
        beyond
    }
}

#[async_trait]
impl EventReader for SlowStore {
    async fn list(&self, _: &EventFilter, _: Option<u64>, _: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        self.read(Vec::new()).await
    }

    async fn next(&self, _: &EventFilter, _: u64, _: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        self.read(Vec::new()).await
    }

    async fn after(&self, _: u64, _: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        self.read(Vec::new()).await
    }

    async fn index_check(&self, _: u64, _: u32) -> Result<Vec<IndexCheckedEvent>, Unavailable> {
        self.read(Vec::new()).await
    }

    async fn open_intents(&self, _: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        self.read(Vec::new()).await
    }

    async fn find(&self, _: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        self.read(None).await
    }

    async fn batches(&self, _: u64, _: u64) -> Result<Vec<StoredBatch>, Unavailable> {
        self.read(Vec::new()).await
    }

    async fn count_misplaced(&self) -> Result<u64, Unavailable> {
        self.read(0).await
    }
}

/// One call of a tenant.
async fn prove(reads: &AuditQueries, state: &Arc<ServiceState>, tenant: &str) -> Result<(), Error> {
    let call = call(Action::GetConsistencyProof, DEADLINE);
    let cx = Context::current(state, Arc::new(call), Arc::new(principal(tenant, &["logkey:audit"])));
    reads.consistency(cx, 1, None).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn sixty_four_callers_of_one_tenant_delay_another_by_a_few_reads() {
    let store = Arc::new(SlowStore(Semaphore::new(4)));
    let reads = AuditQueries::new(
        AuditPorts { log: store.clone(), tree: store, archive: None },
        StreamLimits::default(),
    );
    let state = state_of(&["acme", "quiet"]);
    let greedy = join_all((0..CALLERS).map(|_| prove(&reads, &state, "acme")));
    let quiet = async {
        time::sleep(READ / 2).await;
        let asked = time::Instant::now();
        prove(&reads, &state, "quiet").await.unwrap();
        asked.elapsed()
    };
    let (greedy, waited) = tokio::join!(greedy, quiet);
    assert!(greedy.iter().all(Result::is_ok));
    assert!(waited <= READ * 5, "two reads took {waited:?}");
}
