//! Changes whose end is not known.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::{
    domain::{audit::Settlement, time::Timestamp},
    ports::{PendingChange, PendingChanges, Unavailable},
    service::changes::reconcile::{Reconciliation, reconcile_one},
};

/// The open changes it was given, until they are closed.
struct Open(Mutex<Vec<PendingChange>>);

#[async_trait]
impl PendingChanges for Open {
    async fn list_pending(&self, _before: Timestamp) -> Result<Vec<PendingChange>, Unavailable> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn find(&self, _intent: EventId) -> Result<Option<PendingChange>, Unavailable> {
        Ok(None)
    }

    async fn reconciliation_of(
        &self,
        _change: &PendingChange,
    ) -> Result<Option<(Settlement, EventId)>, Unavailable> {
        Ok(None)
    }
}

/// A world in which a call was sent and not answered, and AWS now shows `key`.
async fn unanswered(key: Option<&str>) -> (TestEnv, Open) {
    let mut groups = groups(&["/app/web"]);
    groups[0].key = key.map(|key| key.parse().unwrap());
    let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups);
    for _ in 0..100 {
        env.aws.answer(UpstreamError::Unanswered("reset".into()));
    }
    env.associate(ALL, request("/app/web")).await.unwrap_err();
    let entries = env.audit.entries();
    let outcome = entries.last().unwrap().event.clone();
    let open = PendingChange { intent: outcome.closes.unwrap(), event: entries[0].event.clone() };
    (env, Open(Mutex::new(vec![open])))
}

#[tokio::test(start_paused = true)]
async fn what_became_of_an_unanswered_change_is_read_back_and_recorded() {
    for (now_in_force, settlement) in [
        (Some(KEY), Settlement::InForce),
        (Some(OTHER_KEY), Settlement::NotInForce),
        (None, Settlement::NotInForce),
    ] {
        let (env, open) = unanswered(now_in_force).await;
        reconcile(&env.state, &open, env.state.ports.clock.now()).await;
        let entries = env.audit.entries();
        let reconciled = entries.last().unwrap();
        assert_eq!(reconciled.event.kind, Kind::Reconciled(settlement));
        assert_eq!(reconciled.event.closes, Some(open.0.lock().unwrap()[0].intent));
        assert_eq!(reconciled.event.correlation, entries[0].event.correlation);
        assert_eq!(reconciled.association.is_some(), settlement == Settlement::InForce);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_several_look_back_at_is_settled_once() {
    for now_in_force in [Some(KEY), Some(OTHER_KEY)] {
        let (env, open) = unanswered(now_in_force).await;
        let change = open.0.lock().unwrap()[0].clone();
        let now = env.state.ports.clock.now();
        let deadline = tokio::time::Instant::now().into_std() + TIMEOUT;
        let ((), first, second) = tokio::join!(
            reconcile(&env.state, &open, now),
            reconcile_one(&env.state, change.clone(), deadline),
            reconcile_one(&env.state, change, deadline),
        );
        let reconciled: Vec<_> = env
            .audit
            .entries()
            .into_iter()
            .filter(|entry| matches!(entry.event.kind, Kind::Reconciled(_)))
            .collect();
        assert_eq!(reconciled.len(), 1);
        match (first, second) {
            (
                Reconciliation::InForce { answer, event },
                Reconciliation::InForce { answer: again, event: same },
            ) => {
                assert_eq!((answer, event), (again, same));
            }
            (Reconciliation::NotInForce, Reconciliation::NotInForce) => {
                assert_eq!(now_in_force, Some(OTHER_KEY));
            }
            _ => panic!("they were told differently"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_while_it_is_recorded_leaves_it_to_nobody_else() {
    let (env, open) = unanswered(Some(OTHER_KEY)).await;
    let change = open.0.lock().unwrap()[0].clone();
    let soon = |secs| tokio::time::Instant::now().into_std() + Duration::from_secs(secs);
    env.audit.block_after(0);
    let gone = reconcile_one(&env.state, change.clone(), soon(60));
    assert!(tokio::time::timeout(Duration::from_secs(1), gone).await.is_err());
    // The store may still keep it: so that another one does not record it beside.
    let second =
        tokio::time::timeout(Duration::from_secs(10), reconcile_one(&env.state, change, soon(2))).await;
    assert!(matches!(second, Ok(Reconciliation::NotNow)));
}

#[tokio::test(start_paused = true)]
async fn an_open_change_stays_open_while_aws_has_no_turn() {
    let (env, open) = unanswered(Some(KEY)).await;
    let before = env.audit.entries().len();
    let stuck = env_with(FakePolicy::default(), FakeUpstreamLimiter::exhausted(TIMEOUT), Vec::new());
    reconcile(&stuck.state, &open, env.state.ports.clock.now()).await;
    assert_eq!(stuck.audit.entries().len(), 0);
    assert_eq!(env.audit.entries().len(), before);
}
