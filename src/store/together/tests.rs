use std::{future::pending, sync::Mutex};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::*;
use crate::{
    domain::{
        association::Target,
        history::{Retention, Sighting},
        time::Timestamp,
    },
    ports::KeepHistory as _,
    testing::FakeHistory,
};

/// Notes how many resources each question was about, and answers when it is let.
struct Counted {
    history: FakeHistory,
    asked: Mutex<Vec<usize>>,
    gate: Semaphore,
}

#[async_trait]
impl KeyHistory for Counted {
    async fn known(&self, resources: &[Resource]) -> Result<Vec<Known>, Unavailable> {
        self.asked.lock().unwrap().push(resources.len());
        self.gate.acquire().await.unwrap().forget();
        self.history.known(resources).await
    }

    async fn touched(&self, _: &KmsKeyArn, _: Option<&Resource>, _: u32) -> Result<Vec<Known>, Unavailable> {
        pending().await
    }

    async fn surveys(&self, _: &[Place]) -> Result<Vec<Survey>, Unavailable> {
        pending().await
    }
}

fn resource(name: &str) -> Resource {
    let place = Place { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    Resource { place, target: Target::LogGroup(name.parse().unwrap()) }
}

/// Over a store that knows `/a` and `/b`.
async fn together(permits: usize) -> (Arc<Counted>, Arc<Together>) {
    let history = FakeHistory::default();
    for name in ["/a", "/b"] {
        let seen = Timestamp::from_secs(1_700_000_000);
        let retention = Retention::NotKnown;
        let sighting = Sighting { resource: resource(name), key: None, seen, created: None, retention };
        history.keep(&[sighting]).await.unwrap();
    }
    let counted = Arc::new(Counted { history, asked: Mutex::default(), gate: Semaphore::new(permits) });
    let together = Arc::new(Together::new(Arc::clone(&counted) as _));
    (counted, together)
}

async fn ask(together: &Together, names: &[&str]) -> Vec<Result<Vec<Resource>, String>> {
    let asked = names.iter().map(async |name| {
        let known = together.known(&[resource(name)]).await;
        known.map(|all| all.into_iter().map(|known| known.resource).collect()).map_err(|e| chain(&e))
    });
    join_all(asked).await
}

#[tokio::test(start_paused = true)]
async fn who_asks_at_the_same_time_is_answered_by_one_question_each_with_its_own() {
    let (store, together) = together(10).await;
    let told = ask(&together, &["/a", "/b", "/none", "/a"]).await;
    assert_eq!(
        told,
        [Ok(vec![resource("/a")]), Ok(vec![resource("/b")]), Ok(vec![]), Ok(vec![resource("/a")])]
    );
    assert_eq!(*store.asked.lock().unwrap(), [3]);
}

#[tokio::test(start_paused = true)]
async fn two_resources_of_one_who_asks_are_in_the_question_of_all_and_a_page_is_not() {
    let (store, together) = together(10).await;
    let all = ["/a", "/b", "/none"].map(resource);
    let [few, one, page] = [&all[..2], &all[1..2], &all[..]].map(|resources| together.known(resources));
    let (few, one, page) = futures_util::future::join3(few, one, page).await;
    assert_eq!([few.unwrap().len(), one.unwrap().len(), page.unwrap().len()], [2, 1, 2]);
    let mut asked = store.asked.lock().unwrap().clone();
    asked.sort_unstable();
    assert_eq!(asked, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_while_an_answer_is_on_its_way_is_in_the_next_question() {
    let (store, together) = together(0).await;
    let asker = |name: &'static str| {
        let together = Arc::clone(&together);
        tokio::spawn(async move { together.known(&[resource(name)]).await.unwrap().len() })
    };
    let first = asker("/a");
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let gone = asker("/a");
    let rest = [asker("/a"), asker("/b"), asker("/none")];
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    gone.abort();
    store.gate.add_permits(2);
    assert_eq!(first.await.unwrap(), 1);
    let rest: Vec<_> = join_all(rest).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(rest, [1, 1, 0]);
    assert_eq!(*store.asked.lock().unwrap(), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_told_to_everyone() {
    let (store, together) = together(10).await;
    store.history.fail(true);
    let told = ask(&together, &["/a", "/b"]).await;
    assert!(
        told.iter().all(|told| told.as_ref().is_err_and(|e| e.contains("history unavailable"))),
        "{told:?}"
    );
    store.history.fail(false);
    assert_eq!(ask(&together, &["/a"]).await, [Ok(vec![resource("/a")])]);
}

#[tokio::test]
async fn nothing_holds_the_store_once_nobody_asks_any_more() {
    let (store, together) = together(10).await;
    drop(together);
    assert_eq!(Arc::strong_count(&store), 1);
}
