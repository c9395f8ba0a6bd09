use std::future::pending;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::*;
use crate::{
    domain::{
        association::Target,
        history::{Observation, Retention},
        time::Timestamp,
    },
    ports::KeyHistoryWriter as _,
    testing::FakeHistory,
};

/// Records the number of resources of each query, and responds only with a permit of the gate.
struct CountedHistory {
    history: FakeHistory,
    batch_sizes: Mutex<Vec<usize>>,
    gate: Semaphore,
}

#[async_trait]
impl KeyHistoryReader for CountedHistory {
    async fn records(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable> {
        self.batch_sizes.lock().push(resources.len());
        self.gate.acquire().await.unwrap().forget();
        self.history.records(resources).await
    }

    async fn resources_with_key(
        &self,
        _: &KmsKeyArn,
        _: Option<&Resource>,
        _: u32,
    ) -> Result<Vec<KeyRecord>, Unavailable> {
        pending().await
    }

    async fn newest(&self, _: &Location) -> Result<Option<Timestamp>, Unavailable> {
        pending().await
    }

    async fn scans(&self, _: &[Location]) -> Result<Vec<Scan>, Unavailable> {
        pending().await
    }
}

fn resource(name: &str) -> Resource {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    Resource { location, target: Target::LogGroup(name.parse().unwrap()) }
}

/// A loader over a store with records of `/a` and `/b`.
async fn loader(permits: usize) -> (Arc<CountedHistory>, Arc<BatchedKeyHistory>) {
    let history = FakeHistory::default();
    for name in ["/a", "/b"] {
        let observed_at = Timestamp::from_secs(1_700_000_000);
        let retention = Retention::NotKnown;
        let observation =
            Observation { resource: resource(name), key: None, observed_at, created: None, retention };
        history.upsert(&[observation]).await.unwrap();
    }
    let counted =
        Arc::new(CountedHistory { history, batch_sizes: Mutex::default(), gate: Semaphore::new(permits) });
    let loader = Arc::new(BatchedKeyHistory::new(Arc::clone(&counted) as _));
    (counted, loader)
}

async fn load_many(loader: &BatchedKeyHistory, names: &[&str]) -> Vec<Result<Vec<Resource>, String>> {
    let calls = names.iter().map(async |name| {
        let record = loader.records(&[resource(name)]).await;
        record.map(|all| all.into_iter().map(|record| record.resource).collect()).map_err(|e| error_chain(&e))
    });
    join_all(calls).await
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_share_one_query_and_get_their_own_records() {
    let (store, loader) = loader(10).await;
    let results = load_many(&loader, &["/a", "/b", "/none", "/a"]).await;
    assert_eq!(
        results,
        [Ok(vec![resource("/a")]), Ok(vec![resource("/b")]), Ok(vec![]), Ok(vec![resource("/a")])]
    );
    assert_eq!(*store.batch_sizes.lock(), [3]);
}

#[tokio::test(start_paused = true)]
async fn requests_of_two_resources_are_combined_and_a_page_is_not() {
    let (store, loader) = loader(10).await;
    let all = ["/a", "/b", "/none"].map(resource);
    let [few, one, page] = [&all[..2], &all[1..2], &all[..]].map(|resources| loader.records(resources));
    let (few, one, page) = futures_util::future::join3(few, one, page).await;
    assert_eq!([few.unwrap().len(), one.unwrap().len(), page.unwrap().len()], [2, 1, 2]);
    let mut batch_sizes = store.batch_sizes.lock().clone();
    batch_sizes.sort_unstable();
    assert_eq!(batch_sizes, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn requests_during_a_query_are_combined_into_the_next_one() {
    let (store, loader) = loader(0).await;
    let requester = |name: &'static str| {
        let loader = Arc::clone(&loader);
        tokio::spawn(async move { loader.records(&[resource(name)]).await.unwrap().len() })
    };
    let first = requester("/a");
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let cancelled = requester("/a");
    let rest = [requester("/a"), requester("/b"), requester("/none")];
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    cancelled.abort();
    store.gate.add_permits(2);
    assert_eq!(first.await.unwrap(), 1);
    let rest: Vec<_> = join_all(rest).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(rest, [1, 1, 0]);
    assert_eq!(*store.batch_sizes.lock(), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn every_request_of_a_failed_query_gets_the_error() {
    let (store, loader) = loader(10).await;
    store.history.fail(true);
    let results = load_many(&loader, &["/a", "/b"]).await;
    assert!(
        results.iter().all(|results| results.as_ref().is_err_and(|e| e.contains("history unavailable"))),
        "{results:?}"
    );
    store.history.fail(false);
    assert_eq!(load_many(&loader, &["/a"]).await, [Ok(vec![resource("/a")])]);
}

#[tokio::test]
async fn dropping_the_loader_releases_the_store() {
    let (store, loader) = loader(10).await;
    drop(loader);
    assert_eq!(Arc::strong_count(&store), 1);
}
