use std::{future::pending, sync::Mutex};

use futures_util::future::join_all;
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

/// Notes how many resources each question was about, and answers when it is let.
struct Counted {
    history: FakeHistory,
    batch_sizes: Mutex<Vec<usize>>,
    gate: Semaphore,
}

#[async_trait]
impl KeyHistoryReader for Counted {
    async fn records(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable> {
        self.batch_sizes.lock().unwrap().push(resources.len());
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

    async fn scans(&self, _: &[Location]) -> Result<Vec<Scan>, Unavailable> {
        pending().await
    }
}

fn resource(name: &str) -> Resource {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    Resource { location, target: Target::LogGroup(name.parse().unwrap()) }
}

/// Over a store that knows `/a` and `/b`.
async fn together(permits: usize) -> (Arc<Counted>, Arc<BatchedKeyHistory>) {
    let history = FakeHistory::default();
    for name in ["/a", "/b"] {
        let observed_at = Timestamp::from_secs(1_700_000_000);
        let retention = Retention::NotKnown;
        let observation =
            Observation { resource: resource(name), key: None, observed_at, created: None, retention };
        history.upsert(&[observation]).await.unwrap();
    }
    let counted = Arc::new(Counted { history, batch_sizes: Mutex::default(), gate: Semaphore::new(permits) });
    let together = Arc::new(BatchedKeyHistory::new(Arc::clone(&counted) as _));
    (counted, together)
}

async fn load_many(together: &BatchedKeyHistory, names: &[&str]) -> Vec<Result<Vec<Resource>, String>> {
    let calls = names.iter().map(async |name| {
        let record = together.records(&[resource(name)]).await;
        record.map(|all| all.into_iter().map(|record| record.resource).collect()).map_err(|e| error_chain(&e))
    });
    join_all(calls).await
}

#[tokio::test(start_paused = true)]
async fn who_asks_at_the_same_time_is_answered_by_one_question_each_with_its_own() {
    let (store, together) = together(10).await;
    let results = load_many(&together, &["/a", "/b", "/none", "/a"]).await;
    assert_eq!(
        results,
        [Ok(vec![resource("/a")]), Ok(vec![resource("/b")]), Ok(vec![]), Ok(vec![resource("/a")])]
    );
    assert_eq!(*store.batch_sizes.lock().unwrap(), [3]);
}

#[tokio::test(start_paused = true)]
async fn two_resources_of_one_who_asks_are_in_the_question_of_all_and_a_page_is_not() {
    let (store, together) = together(10).await;
    let all = ["/a", "/b", "/none"].map(resource);
    let [few, one, page] = [&all[..2], &all[1..2], &all[..]].map(|resources| together.records(resources));
    let (few, one, page) = futures_util::future::join3(few, one, page).await;
    assert_eq!([few.unwrap().len(), one.unwrap().len(), page.unwrap().len()], [2, 1, 2]);
    let mut batch_sizes = store.batch_sizes.lock().unwrap().clone();
    batch_sizes.sort_unstable();
    assert_eq!(batch_sizes, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_while_an_answer_is_on_its_way_is_in_the_next_question() {
    let (store, together) = together(0).await;
    let requester = |name: &'static str| {
        let together = Arc::clone(&together);
        tokio::spawn(async move { together.records(&[resource(name)]).await.unwrap().len() })
    };
    let first = requester("/a");
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let gone = requester("/a");
    let rest = [requester("/a"), requester("/b"), requester("/none")];
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    gone.abort();
    store.gate.add_permits(2);
    assert_eq!(first.await.unwrap(), 1);
    let rest: Vec<_> = join_all(rest).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(rest, [1, 1, 0]);
    assert_eq!(*store.batch_sizes.lock().unwrap(), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_told_to_everyone() {
    let (store, together) = together(10).await;
    store.history.fail(true);
    let results = load_many(&together, &["/a", "/b"]).await;
    assert!(
        results.iter().all(|results| results.as_ref().is_err_and(|e| e.contains("history unavailable"))),
        "{results:?}"
    );
    store.history.fail(false);
    assert_eq!(load_many(&together, &["/a"]).await, [Ok(vec![resource("/a")])]);
}

#[tokio::test]
async fn nothing_holds_the_store_once_nobody_asks_any_more() {
    let (store, together) = together(10).await;
    drop(together);
    assert_eq!(Arc::strong_count(&store), 1);
}
