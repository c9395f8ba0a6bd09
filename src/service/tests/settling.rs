//! Changes whose end is not known.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::{
    domain::{audit::Settlement, time::Timestamp},
    ports::{OpenChange, OpenChanges, Unavailable},
    service::settle::Settled,
};

/// The open changes it was given, until they are closed.
struct Open(Mutex<Vec<OpenChange>>);

#[async_trait]
impl OpenChanges for Open {
    async fn open(&self, _before: Timestamp) -> Result<Vec<OpenChange>, Unavailable> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn begun(&self, _intent: EventId) -> Result<Option<OpenChange>, Unavailable> {
        Ok(None)
    }

    async fn settled(&self, _change: &OpenChange) -> Result<Option<(Settlement, EventId)>, Unavailable> {
        Ok(None)
    }
}

/// A world in which a call was sent and not answered, and AWS now shows `key`.
async fn unanswered(key: Option<&str>) -> (World, Open) {
    let mut groups = groups(&["/app/web"]);
    groups[0].key = key.map(|key| key.parse().unwrap());
    let world = world_with(FakePolicy::default(), FakePace::default(), groups);
    for _ in 0..100 {
        world.aws.answer(UpstreamError::Unanswered("reset".into()));
    }
    world.associate(ALL, ask("/app/web")).await.unwrap_err();
    let entries = world.audit.entries();
    let outcome = entries.last().unwrap().event.clone();
    let open = OpenChange { intent: outcome.closes.unwrap(), event: entries[0].event.clone() };
    (world, Open(Mutex::new(vec![open])))
}

#[tokio::test(start_paused = true)]
async fn what_became_of_an_unanswered_change_is_read_back_and_recorded() {
    for (now_in_force, settlement) in [
        (Some(KEY), Settlement::InForce),
        (Some(OTHER_KEY), Settlement::NotInForce),
        (None, Settlement::NotInForce),
    ] {
        let (world, open) = unanswered(now_in_force).await;
        world.broker.settle(&open, world.broker.ports.clock.now()).await;
        let entries = world.audit.entries();
        let settled = entries.last().unwrap();
        assert_eq!(settled.event.kind, Kind::Settled(settlement));
        assert_eq!(settled.event.closes, Some(open.0.lock().unwrap()[0].intent));
        assert_eq!(settled.event.correlation, entries[0].event.correlation);
        assert_eq!(settled.association.is_some(), settlement == Settlement::InForce);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_several_look_back_at_is_settled_once() {
    for now_in_force in [Some(KEY), Some(OTHER_KEY)] {
        let (world, open) = unanswered(now_in_force).await;
        let change = open.0.lock().unwrap()[0].clone();
        let now = world.broker.ports.clock.now();
        let deadline = tokio::time::Instant::now().into_std() + PATIENCE;
        let ((), first, second) = tokio::join!(
            world.broker.settle(&open, now),
            world.broker.settle_one(change.clone(), deadline),
            world.broker.settle_one(change, deadline),
        );
        let settled: Vec<_> = world
            .audit
            .entries()
            .into_iter()
            .filter(|entry| matches!(entry.event.kind, Kind::Settled(_)))
            .collect();
        assert_eq!(settled.len(), 1);
        match (first, second) {
            (Settled::InForce { answer, event }, Settled::InForce { answer: again, event: same }) => {
                assert_eq!((answer, event), (again, same));
            }
            (Settled::NotInForce, Settled::NotInForce) => assert_eq!(now_in_force, Some(OTHER_KEY)),
            _ => panic!("they were told differently"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_while_it_is_recorded_leaves_it_to_nobody_else() {
    let (world, open) = unanswered(Some(OTHER_KEY)).await;
    let change = open.0.lock().unwrap()[0].clone();
    let soon = |secs| tokio::time::Instant::now().into_std() + Duration::from_secs(secs);
    world.audit.hang_after(0);
    let gone = world.broker.settle_one(change.clone(), soon(60));
    assert!(tokio::time::timeout(Duration::from_secs(1), gone).await.is_err());
    // The store may still keep it: so that another one does not record it beside.
    let second =
        tokio::time::timeout(Duration::from_secs(10), world.broker.settle_one(change, soon(2))).await;
    assert!(matches!(second, Ok(Settled::NotNow)));
}

#[tokio::test(start_paused = true)]
async fn an_open_change_stays_open_while_aws_has_no_turn() {
    let (world, open) = unanswered(Some(KEY)).await;
    let before = world.audit.entries().len();
    let stuck = world_with(FakePolicy::default(), FakePace::without_turns(PATIENCE), Vec::new());
    stuck.broker.settle(&open, world.broker.ports.clock.now()).await;
    assert_eq!(stuck.audit.entries().len(), 0);
    assert_eq!(world.audit.entries().len(), before);
}
