//! Combines small concurrent reads of key records into one query. Requests that arrive during a query are
//! combined into the next one. One round trip to the database's thread thus serves many calls.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, oneshot},
    task,
};

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Location, Resource},
        error_chain::error_chain,
        history::{KeyRecord, Scan},
        time::Timestamp,
    },
    ports::{KeyHistoryReader, Unavailable},
};

/// The maximum number of requests that one query combines. As many can be queued for the next query; further
/// requests wait until there is room in the queue.
const MAX_REQUESTS: usize = 256;
/// The maximum number of resources of a request that is combined with others. A change reads its own resource
/// and the account's query results. A page of a list has more resources and gets a separate query.
const MAX_RESOURCES: usize = 2;

/// Implements the port over a store.
pub(super) struct BatchedKeyHistory {
    history: Arc<dyn KeyHistoryReader>,
    requests: mpsc::Sender<BatchRequest>,
}

/// The resources of one caller, with the channel for its reply.
struct BatchRequest {
    resources: Vec<Resource>,
    reply: oneshot::Sender<Result<Vec<KeyRecord>, Unavailable>>,
}

// === impl BatchedKeyHistory ===

impl BatchedKeyHistory {
    /// Batches reads of this store. The batching ends with the last use of this value. Needs a runtime.
    pub(super) fn new(history: Arc<dyn KeyHistoryReader>) -> Self {
        let (requests, receiver) = mpsc::channel(MAX_REQUESTS);
        tokio::spawn(run(Arc::downgrade(&history), receiver));
        Self { history, requests }
    }

    async fn load_batch(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable> {
        let (reply, receiver) = oneshot::channel();
        let request = BatchRequest { resources: resources.to_vec(), reply };
        self.requests.send(request).await.map_err(|_ended| closed_error())?;
        receiver.await.unwrap_or_else(|_ended| Err(closed_error()))
    }
}

async fn run(history: Weak<dyn KeyHistoryReader>, mut requests: mpsc::Receiver<BatchRequest>) {
    let mut all = Vec::new();
    while let Some(first) = requests.recv().await {
        all.push(first);
        // Lets tasks that are ready to send a request do so first.
        task::yield_now().await;
        while all.len() < MAX_REQUESTS
            && let Ok(more) = requests.try_recv()
        {
            all.push(more);
        }
        let Some(history) = history.upgrade() else { return };
        let resources: HashSet<&Resource> = all.iter().flat_map(|request| &request.resources).collect();
        let resources: Vec<Resource> = resources.into_iter().cloned().collect();
        let records = history.records(&resources).await;
        drop(history);
        respond(records, all.drain(..));
    }
}

fn respond(records: Result<Vec<KeyRecord>, Unavailable>, all: impl Iterator<Item = BatchRequest>) {
    let records = records.map(|records| {
        records.into_iter().map(|record| (record.resource.clone(), record)).collect::<HashMap<_, _>>()
    });
    for BatchRequest { resources, reply } in all {
        let own = match &records {
            Ok(records) => {
                Ok(resources.iter().filter_map(|resource| records.get(resource)).cloned().collect())
            }
            Err(error) => {
                Err(Unavailable { dependency: error.dependency, source: Some(error_chain(error).into()) })
            }
        };
        // A caller that was cancelled needs no reply.
        drop(reply.send(own));
    }
}

fn closed_error() -> Unavailable {
    Unavailable { dependency: "store", source: None }
}

#[async_trait]
impl KeyHistoryReader for BatchedKeyHistory {
    async fn records(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable> {
        if (1..=MAX_RESOURCES).contains(&resources.len()) {
            self.load_batch(resources).await
        } else {
            self.history.records(resources).await
        }
    }

    async fn resources_with_key(
        &self,
        key: &KmsKeyArn,
        after: Option<&Resource>,
        limit: u32,
    ) -> Result<Vec<KeyRecord>, Unavailable> {
        self.history.resources_with_key(key, after, limit).await
    }

    async fn newest(&self, location: &Location) -> Result<Option<Timestamp>, Unavailable> {
        self.history.newest(location).await
    }

    async fn scans(&self, locations: &[Location]) -> Result<Vec<Scan>, Unavailable> {
        self.history.scans(locations).await
    }
}

impl fmt::Debug for BatchedKeyHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchedKeyHistory")
    }
}

#[cfg(test)]
mod tests;
