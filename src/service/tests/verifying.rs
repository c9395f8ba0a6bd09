//! The key of query results, verified by running a query.

use super::*;
use crate::{
    domain::{
        association::{Source, UnresolvedPlace},
        audit::Settlement,
        history::Retention,
        tenant::AccountGrant,
        time::Timestamp,
    },
    ports::{OpenChange, OpenChanges, Unavailable},
};

const MINUTES: Duration = Duration::from_mins(6);

fn verifying(groups: Vec<LogGroup>) -> World {
    let usual = tenant("acme");
    let grant = AccountGrant { verify_query_results: true, ..(*usual.accounts[0]).clone() };
    let tenant = Tenant { accounts: vec![Arc::new(grant)], ..usual };
    world_of(tenant, FakePolicy::default(), FakePace::default(), groups)
}

fn results() -> UnresolvedResource {
    UnresolvedResource { place: UnresolvedPlace::default(), target: Target::QueryResults }
}

impl World {
    async fn get_results(&self) -> KeyAssociation {
        let call = call(Action::GetKeyAssociation, PATIENCE);
        self.broker.get(&call, &principal("acme", ALL), results()).await.unwrap()
    }

    async fn set_results(&self) {
        self.associate(ALL, AskAssociate { resource: results(), ..ask("/app/web") }).await.unwrap();
    }

    async fn kept(&self) -> Vec<crate::domain::history::Known> {
        self.broker.flush_history().await.unwrap();
        let resource = Resource {
            place: crate::domain::association::Place {
                account: crate::testing::ACCOUNT.parse().unwrap(),
                region: crate::testing::REGION.parse().unwrap(),
            },
            target: Target::QueryResults,
        };
        self.broker.known(&[resource]).await
    }

    fn last_detail(&self) -> String {
        self.audit.notes().last().unwrap().detail.as_deref().unwrap_or_default().to_owned()
    }
}

fn key_of(association: &KeyAssociation) -> Option<&str> {
    association.key.as_ref().map(crate::domain::arn::KmsKeyArn::as_str)
}

#[tokio::test(start_paused = true)]
async fn what_a_query_shows_is_live_and_kept() {
    let world = verifying(groups(&["/app/web", "/other/x"]));
    assert_eq!(world.get_results().await.source, Source::Recorded);
    world.queries.show(Some(OTHER_KEY), 3);
    let found = world.get_results().await;
    assert_eq!((key_of(&found), found.source, found.state), (Some(OTHER_KEY), Source::Live, State::InForce));
    assert_eq!(world.queries.queried(), ["/app/web".parse().unwrap()]);
    let [known] = &world.kept().await[..] else { panic!() };
    assert_eq!(known.key.as_ref().unwrap().as_str(), OTHER_KEY);
    assert_eq!((known.accepted, known.retention), (None, Retention::NotKnown));
    world.queries.show(None, 0);
    let found = world.get_results().await;
    assert_eq!((key_of(&found), found.source, found.state), (None, Source::Live, State::DefaultEncryption));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_someone_else_set_shows_and_leaves_ours_as_the_former_one() {
    let world = verifying(groups(&["/app/web"]));
    world.set_results().await;
    world.clock.advance(MINUTES);
    world.queries.show(Some(OTHER_KEY), 0);
    let found = world.get_results().await;
    assert_eq!((key_of(&found), found.source), (Some(OTHER_KEY), Source::Live));
    assert_eq!(found.previous_key.unwrap().as_str(), KEY);
    assert_eq!((found.accepted, found.former[0].key.as_str()), (None, KEY));
}

#[tokio::test(start_paused = true)]
async fn in_the_minutes_that_aws_may_take_another_key_is_no_news() {
    let world = verifying(groups(&["/app/web"]));
    world.set_results().await;
    world.queries.show(Some(OTHER_KEY), 0);
    let found = world.get_results().await;
    assert_eq!((key_of(&found), found.source, found.state), (Some(KEY), Source::Recorded, State::Settling));
    assert!(world.last_detail().contains("five minutes"), "{}", world.last_detail());
    assert_eq!(world.kept().await[0].key.as_ref().unwrap().as_str(), KEY);
    world.queries.show(Some(KEY), 0);
    let found = world.get_results().await;
    assert_eq!((key_of(&found), found.source, found.state), (Some(KEY), Source::Live, State::Settling));
    assert!(found.accepted.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_a_query_cannot_tell_stays_with_the_record_and_the_audit_log_says_why() {
    let delivery = || {
        let mut groups = groups(&["/app/web"]);
        groups[0].class = Some("DELIVERY".into());
        groups
    };
    let refuses: fn(&FakeQueries) = |_| {};
    let cases = [
        (groups(&["/app/web"]), refuses, "AccessDeniedException"),
        (groups(&["/other/x"]), |queries| queries.show(Some(OTHER_KEY), 0), "no log group"),
        (delivery(), |queries| queries.show(Some(OTHER_KEY), 0), "no log group"),
        (groups(&["/app/web"]), |queries| queries.show(Some(OTHER_KEY), u32::MAX), "in time"),
        (groups(&["/app/web"]), |queries| queries.end_as("Failed"), "Failed"),
    ];
    for (groups, plan, why) in cases {
        let world = verifying(groups);
        world.set_results().await;
        world.clock.advance(MINUTES);
        plan(&world.queries);
        let began = tokio::time::Instant::now();
        let found = world.get_results().await;
        assert_eq!((key_of(&found), found.source), (Some(KEY), Source::Recorded), "{why}");
        assert!(world.last_detail().contains(why), "{why}: {}", world.last_detail());
        assert!(began.elapsed() < PATIENCE, "{why}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_query_is_sent_again_at_its_turn() {
    let world = verifying(groups(&["/app/web"]));
    world.queries.show(Some(KEY), 1);
    world.queries.throttle(2);
    assert_eq!(world.get_results().await.source, Source::Live);
    let throttled = world.pace.used().into_iter().filter(|it| *it == Feedback::Throttled).count();
    assert_eq!((throttled, world.queries.queried().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_turn_nothing_is_queried() {
    let usual = tenant("acme");
    let grant = AccountGrant { verify_query_results: true, ..(*usual.accounts[0]).clone() };
    let tenant = Tenant { accounts: vec![Arc::new(grant)], ..usual };
    let pace = FakePace::without_turns(PATIENCE);
    let world = world_of(tenant, FakePolicy::default(), pace, groups(&["/app/web"]));
    world.queries.show(Some(KEY), 0);
    assert_eq!(world.get_results().await.source, Source::Recorded);
    assert_eq!(world.queries.queried(), []);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_queried_unless_the_grant_asks_for_it() {
    let world = world();
    world.queries.show(Some(KEY), 0);
    assert_eq!(world.get_results().await.source, Source::Recorded);
    assert_eq!((world.queries.queried(), world.pace.used()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_log_group_without_a_key_is_queried_rather_than_one_with_a_key() {
    let mut all = groups(&["/app/a", "/app/b"]);
    all[0].key = Some(OTHER_KEY.parse().unwrap());
    let world = verifying(all);
    world.queries.show(Some(KEY), 0);
    world.get_results().await;
    assert_eq!(world.queries.queried(), ["/app/b".parse().unwrap()]);
}

/// One open change of query results.
struct Open(OpenChange);

#[async_trait::async_trait]
impl OpenChanges for Open {
    async fn open(&self, _: Timestamp) -> Result<Vec<OpenChange>, Unavailable> {
        Ok(vec![self.0.clone()])
    }

    async fn begun(&self, _: EventId) -> Result<Option<OpenChange>, Unavailable> {
        Ok(Some(self.0.clone()))
    }

    async fn settled(&self, _: &OpenChange) -> Result<Option<(Settlement, EventId)>, Unavailable> {
        Ok(None)
    }
}

async fn unanswered() -> (World, Open) {
    let world = verifying(groups(&["/app/web"]));
    for _ in 0..100 {
        world.aws.answer(UpstreamError::Unanswered("reset".into()));
    }
    let ask = AskAssociate { resource: results(), ..ask("/app/web") };
    world.associate(ALL, ask).await.unwrap_err();
    let entries = world.audit.entries();
    let intent = entries.last().unwrap().event.closes.unwrap();
    let open = Open(OpenChange { intent, event: entries[0].event.clone() });
    (world, open)
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_change_of_query_results_is_settled_by_a_query() {
    for (shown, later, settled) in [
        (Some(KEY), Duration::ZERO, Some(Settlement::InForce)),
        (Some(OTHER_KEY), Duration::ZERO, None),
        (None, Duration::ZERO, None),
        (Some(OTHER_KEY), MINUTES, Some(Settlement::NotInForce)),
        (None, MINUTES, Some(Settlement::NotInForce)),
    ] {
        let (world, open) = unanswered().await;
        let before = world.audit.entries().len();
        world.queries.show(shown, 1);
        world.clock.advance(later);
        world.broker.settle(&open, world.broker.ports.clock.now()).await;
        let entries = world.audit.entries();
        let last = entries.get(before).map(|entry| entry.event.kind);
        assert_eq!(last, settled.map(Kind::Settled), "{shown:?} after {later:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_change_stays_open_where_a_query_may_tell_later_and_else_cannot_be_told() {
    for (plan, settled) in [
        ((|queries: &FakeQueries| queries.end_as("Timeout")) as fn(&FakeQueries), None),
        (|queries| queries.show(Some(KEY), u32::MAX), None),
        (|_| {}, Some(Settlement::CannotTell)),
    ] {
        let (world, open) = unanswered().await;
        let before = world.audit.entries().len();
        plan(&world.queries);
        world.broker.settle(&open, world.broker.ports.clock.now()).await;
        let entries = world.audit.entries();
        let last = entries.get(before).map(|entry| entry.event.kind);
        assert_eq!(last, settled.map(Kind::Settled));
    }
}
