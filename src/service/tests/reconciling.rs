//! The reconciliation of changes whose outcome is unknown.

use super::*;
use crate::{
    domain::audit::ReconciliationResult,
    ports::PendingChange,
    service::changes::reconcile::{Reconciliation, reconcile_one},
};

/// An environment with a change that was sent but not answered. AWS now returns `key`.
async fn unanswered(key: Option<&str>) -> (TestEnv, PendingChange) {
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
    (env, open)
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_change_is_read_back_and_its_outcome_recorded() {
    for (current, settlement) in [
        (Some(KEY), ReconciliationResult::Effective),
        (Some(OTHER_KEY), ReconciliationResult::NotEffective),
        (None, ReconciliationResult::NotEffective),
    ] {
        let (env, open) = unanswered(current).await;
        let intent = open.intent;
        reconcile(&env.state, vec![open]).await;
        let entries = env.audit.entries();
        let reconciled = entries.last().unwrap();
        assert_eq!(reconciled.event.kind, Kind::Reconciled(settlement));
        assert_eq!(reconciled.event.closes, Some(intent));
        assert_eq!(reconciled.event.correlation, entries[0].event.correlation);
        assert_eq!(reconciled.association.is_some(), settlement == ReconciliationResult::Effective);
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_reconciliations_record_one_outcome() {
    for current in [Some(KEY), Some(OTHER_KEY)] {
        let (env, change) = unanswered(current).await;
        let deadline = tokio::time::Instant::now().into_std() + TIMEOUT;
        let ((), first, second) = tokio::join!(
            reconcile(&env.state, vec![change.clone()]),
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
                Reconciliation::Effective { answer, event },
                Reconciliation::Effective { answer: again, event: same },
            ) => {
                assert_eq!((answer, event), (again, same));
            }
            (Reconciliation::NotEffective, Reconciliation::NotEffective) => {
                assert_eq!(current, Some(OTHER_KEY));
            }
            _ => panic!("the two results differ"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_reconciliation_keeps_its_lock_until_it_is_recorded() {
    let (env, change) = unanswered(Some(OTHER_KEY)).await;
    let deadline_in = |secs| tokio::time::Instant::now().into_std() + Duration::from_secs(secs);
    env.audit.block_after(0);
    let cancelled = reconcile_one(&env.state, change.clone(), deadline_in(60));
    assert!(tokio::time::timeout(Duration::from_secs(1), cancelled).await.is_err());
    // The store may still accept the first record, so a second task must not record another one.
    let second =
        tokio::time::timeout(Duration::from_secs(10), reconcile_one(&env.state, change, deadline_in(2)))
            .await;
    assert!(matches!(second, Ok(Reconciliation::NotNow)));
}

#[tokio::test(start_paused = true)]
async fn a_change_stays_pending_while_the_limiter_has_no_permit() {
    let (env, open) = unanswered(Some(KEY)).await;
    let before = env.audit.entries().len();
    let stuck = env_with(FakePolicy::default(), FakeUpstreamLimiter::exhausted(TIMEOUT), Vec::new());
    reconcile(&stuck.state, vec![open]).await;
    assert_eq!(stuck.audit.entries().len(), 0);
    assert_eq!(env.audit.entries().len(), before);
}
