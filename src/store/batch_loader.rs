//! Questions about a few resources each, put to the store as one: whoever asks while an answer is on its way
//! is in the next question. So the way to the database's own thread and back serves many calls at once.

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
    },
    ports::{KeyHistoryReader, Unavailable},
};

/// Most who are answered by one question; as many wait for the next, and others wait to wait.
const MAX: usize = 256;
/// Most resources of one who asks together with others: a change looks at its own, and at the account's
/// query results. A page of a list asks by itself.
const MAX_BATCH: usize = 2;

/// Keeps the port over a store.
pub(super) struct BatchedKeyHistory {
    history: Arc<dyn KeyHistoryReader>,
    requests: mpsc::Sender<BatchRequest>,
}

/// Resources, and who wants to know of them.
struct BatchRequest {
    resources: Vec<Resource>,
    reply: oneshot::Sender<Result<Vec<KeyRecord>, Unavailable>>,
}

// === impl Together ===

impl BatchedKeyHistory {
    /// Over this store, which closes with the last use of this value. Needs a runtime.
    pub(super) fn new(history: Arc<dyn KeyHistoryReader>) -> Self {
        let (requests, receiver) = mpsc::channel(MAX);
        tokio::spawn(answer(Arc::downgrade(&history), receiver));
        Self { history, requests }
    }

    async fn load_batch(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable> {
        let (reply, receiver) = oneshot::channel();
        let request = BatchRequest { resources: resources.to_vec(), reply };
        self.requests.send(request).await.map_err(|_ended| closed_error())?;
        receiver.await.unwrap_or_else(|_ended| Err(closed_error()))
    }
}

async fn answer(history: Weak<dyn KeyHistoryReader>, mut requests: mpsc::Receiver<BatchRequest>) {
    let mut all = Vec::new();
    while let Some(first) = requests.recv().await {
        all.push(first);
        // Whoever can ask at this moment does so first.
        task::yield_now().await;
        while all.len() < MAX
            && let Ok(more) = requests.try_recv()
        {
            all.push(more);
        }
        let Some(history) = history.upgrade() else { return };
        let resources: HashSet<&Resource> = all.iter().flat_map(|request| &request.resources).collect();
        let resources: Vec<Resource> = resources.into_iter().cloned().collect();
        let record = history.records(&resources).await;
        drop(history);
        respond(record, all.drain(..));
    }
}

fn respond(record: Result<Vec<KeyRecord>, Unavailable>, all: impl Iterator<Item = BatchRequest>) {
    let record = record.map(|record| {
        record.into_iter().map(|record| (record.resource.clone(), record)).collect::<HashMap<_, _>>()
    });
    for BatchRequest { resources, reply } in all {
        let own = match &record {
            Ok(record) => Ok(resources.iter().filter_map(|resource| record.get(resource)).cloned().collect()),
            Err(error) => {
                Err(Unavailable { dependency: error.dependency, source: Some(error_chain(error).into()) })
            }
        };
        // Whoever went away does not need to know.
        drop(reply.send(own));
    }
}

fn closed_error() -> Unavailable {
    Unavailable { dependency: "store", source: None }
}

#[async_trait]
impl KeyHistoryReader for BatchedKeyHistory {
    async fn records(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable> {
        if (1..=MAX_BATCH).contains(&resources.len()) {
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

    async fn scans(&self, locations: &[Location]) -> Result<Vec<Scan>, Unavailable> {
        self.history.scans(locations).await
    }
}

impl fmt::Debug for BatchedKeyHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Together")
    }
}

#[cfg(test)]
mod tests;
