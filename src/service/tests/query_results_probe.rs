//! The key of query results, verified with a query.

use super::*;
use crate::{
    domain::{
        association::{Source, UnresolvedLocation},
        audit::ReconciliationResult,
        history::Retention,
        tenant::AccountGrant,
    },
    ports::PendingChange,
};

const AFTER_PROPAGATION: Duration = Duration::from_mins(6);

fn verifying(groups: Vec<LogGroup>) -> TestEnv {
    let usual = tenant("acme");
    let grant = AccountGrant { verify_query_results: true, ..(*usual.accounts[0]).clone() };
    let tenant = Tenant { accounts: vec![Arc::new(grant)], ..usual };
    env_of(vec![tenant], FakePolicy::default(), FakeUpstreamLimiter::default(), groups)
}

fn results() -> UnresolvedResource {
    UnresolvedResource { location: UnresolvedLocation::default(), target: Target::QueryResults }
}

impl TestEnv {
    async fn get_results(&self) -> KeyAssociation {
        let call = call(Action::GetKeyAssociation, TIMEOUT);
        get(self.cx(call, principal("acme", ALL)), results()).await.unwrap()
    }

    async fn set_results(&self) {
        self.associate(ALL, AssociateRequest { resource: results(), ..request("/app/web") }).await.unwrap();
    }

    async fn records(&self) -> Vec<crate::domain::history::KeyRecord> {
        self.state.flush_observations().await.unwrap();
        let resource = Resource {
            location: crate::domain::association::Location {
                account: crate::testing::ACCOUNT.parse().unwrap(),
                region: crate::testing::REGION.parse().unwrap(),
            },
            target: Target::QueryResults,
        };
        self.state.ports.history.records(&[resource]).await.unwrap()
    }

    fn last_detail(&self) -> String {
        self.audit.notes().last().unwrap().detail.as_deref().unwrap_or_default().to_owned()
    }
}

fn key_of(association: &KeyAssociation) -> Option<&str> {
    association.key.as_ref().map(crate::domain::arn::KmsKeyArn::as_str)
}

#[tokio::test(start_paused = true)]
async fn the_key_that_a_query_shows_is_live_and_recorded() {
    let env = verifying(groups(&["/app/web", "/other/x"]));
    assert_eq!(env.get_results().await.source, Source::Recorded);
    env.queries.set_result(Some(OTHER_KEY), 3);
    let found = env.get_results().await;
    assert_eq!(
        (key_of(&found), found.source, found.state),
        (Some(OTHER_KEY), Source::Live, AssociationState::InForce)
    );
    assert_eq!(env.queries.queried(), ["/app/web".parse().unwrap()]);
    let [record] = &env.records().await[..] else { panic!() };
    assert_eq!(record.key.as_ref().unwrap().as_str(), OTHER_KEY);
    assert_eq!((record.accepted, record.retention), (None, Retention::NotKnown));
    env.queries.set_result(None, 0);
    let found = env.get_results().await;
    assert_eq!(
        (key_of(&found), found.source, found.state),
        (None, Source::Live, AssociationState::DefaultEncryption)
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_another_tool_set_makes_the_recorded_key_a_former_one() {
    let env = verifying(groups(&["/app/web"]));
    env.set_results().await;
    env.clock.advance(AFTER_PROPAGATION);
    env.queries.set_result(Some(OTHER_KEY), 0);
    let found = env.get_results().await;
    assert_eq!((key_of(&found), found.source), (Some(OTHER_KEY), Source::Live));
    assert_eq!(found.previous_key.unwrap().as_str(), KEY);
    assert_eq!((found.accepted, found.former[0].key.as_str()), (None, KEY));
}

#[tokio::test(start_paused = true)]
async fn a_query_does_not_override_the_record_while_a_change_propagates() {
    let env = verifying(groups(&["/app/web"]));
    env.set_results().await;
    env.queries.set_result(Some(OTHER_KEY), 0);
    let found = env.get_results().await;
    assert_eq!(
        (key_of(&found), found.source, found.state),
        (Some(KEY), Source::Recorded, AssociationState::Settling)
    );
    assert!(env.last_detail().contains("five minutes"), "{}", env.last_detail());
    assert_eq!(env.records().await[0].key.as_ref().unwrap().as_str(), KEY);
    env.queries.set_result(Some(KEY), 0);
    let found = env.get_results().await;
    assert_eq!(
        (key_of(&found), found.source, found.state),
        (Some(KEY), Source::Live, AssociationState::Settling)
    );
    assert!(found.accepted.is_some());
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_query_the_record_counts_and_the_event_has_the_cause() {
    let delivery = || {
        let mut groups = groups(&["/app/web"]);
        groups[0].class = Some("DELIVERY".into());
        groups
    };
    let refused: fn(&FakeQueries) = |_| {};
    let cases = [
        (groups(&["/app/web"]), refused, "AccessDeniedException"),
        (groups(&["/other/x"]), |queries| queries.set_result(Some(OTHER_KEY), 0), "no log group"),
        (delivery(), |queries| queries.set_result(Some(OTHER_KEY), 0), "no log group"),
        (groups(&["/app/web"]), |queries| queries.set_result(Some(OTHER_KEY), u32::MAX), "in time"),
        (groups(&["/app/web"]), |queries| queries.set_status("Failed"), "Failed"),
    ];
    for (groups, plan, reason) in cases {
        let env = verifying(groups);
        env.set_results().await;
        env.clock.advance(AFTER_PROPAGATION);
        plan(&env.queries);
        let started = tokio::time::Instant::now();
        let found = env.get_results().await;
        assert_eq!((key_of(&found), found.source), (Some(KEY), Source::Recorded), "{reason}");
        assert!(env.last_detail().contains(reason), "{reason}: {}", env.last_detail());
        assert!(started.elapsed() < TIMEOUT, "{reason}: {:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_query_is_sent_again_with_the_next_permit() {
    let env = verifying(groups(&["/app/web"]));
    env.queries.set_result(Some(KEY), 1);
    env.queries.throttle(2);
    assert_eq!(env.get_results().await.source, Source::Live);
    let throttled = env.limiter.used().into_iter().filter(|it| *it == UpstreamOutcome::Throttled).count();
    assert_eq!((throttled, env.queries.queried().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_permit_nothing_is_queried() {
    let usual = tenant("acme");
    let grant = AccountGrant { verify_query_results: true, ..(*usual.accounts[0]).clone() };
    let tenant = Tenant { accounts: vec![Arc::new(grant)], ..usual };
    let limiter = FakeUpstreamLimiter::exhausted(TIMEOUT);
    let env = env_of(vec![tenant], FakePolicy::default(), limiter, groups(&["/app/web"]));
    env.queries.set_result(Some(KEY), 0);
    assert_eq!(env.get_results().await.source, Source::Recorded);
    assert_eq!(env.queries.queried(), []);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_queried_unless_the_grant_enables_it() {
    let env = env();
    env.queries.set_result(Some(KEY), 0);
    assert_eq!(env.get_results().await.source, Source::Recorded);
    assert_eq!((env.queries.queried(), env.limiter.used()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn the_query_prefers_a_log_group_without_a_key() {
    let mut all = groups(&["/app/a", "/app/b"]);
    all[0].key = Some(OTHER_KEY.parse().unwrap());
    let env = verifying(all);
    env.queries.set_result(Some(KEY), 0);
    env.get_results().await;
    assert_eq!(env.queries.queried(), ["/app/b".parse().unwrap()]);
}

async fn unanswered() -> (TestEnv, PendingChange) {
    let env = verifying(groups(&["/app/web"]));
    for _ in 0..100 {
        env.aws.answer(UpstreamError::Unanswered("reset".into()));
    }
    let request = AssociateRequest { resource: results(), ..request("/app/web") };
    env.associate(ALL, request).await.unwrap_err();
    let entries = env.audit.entries();
    let intent = entries.last().unwrap().event.closes.unwrap();
    let pending = PendingChange { intent, event: entries[0].event.clone() };
    (env, pending)
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_change_of_query_results_is_reconciled_with_a_query() {
    for (shown, later, reconciled) in [
        (Some(KEY), Duration::ZERO, Some(ReconciliationResult::Effective)),
        (Some(OTHER_KEY), Duration::ZERO, None),
        (None, Duration::ZERO, None),
        (Some(OTHER_KEY), AFTER_PROPAGATION, Some(ReconciliationResult::NotEffective)),
        (None, AFTER_PROPAGATION, Some(ReconciliationResult::NotEffective)),
    ] {
        let (env, pending) = unanswered().await;
        let before = env.audit.entries().len();
        env.queries.set_result(shown, 1);
        env.clock.advance(later);
        reconcile(&env.state, vec![pending]).await;
        let entries = env.audit.entries();
        let last = entries.get(before).map(|entry| entry.event.kind);
        assert_eq!(last, reconciled.map(Kind::Reconciled), "{shown:?} after {later:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_stays_pending_only_while_a_later_query_may_show_it() {
    for (plan, reconciled) in [
        ((|queries: &FakeQueries| queries.set_status("Timeout")) as fn(&FakeQueries), None),
        (|queries| queries.set_result(Some(KEY), u32::MAX), None),
        (|_| {}, Some(ReconciliationResult::Indeterminate)),
    ] {
        let (env, pending) = unanswered().await;
        let before = env.audit.entries().len();
        plan(&env.queries);
        reconcile(&env.state, vec![pending]).await;
        let entries = env.audit.entries();
        let last = entries.get(before).map(|entry| entry.event.kind);
        assert_eq!(last, reconciled.map(Kind::Reconciled));
    }
}
