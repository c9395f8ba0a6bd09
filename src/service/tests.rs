//! What the use cases promise, over fakes: above all what does not reach AWS.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    domain::{
        ask::{AskAssociate, AskDisassociate, AskList, UnresolvedResource},
        association::{KeyFilter, LogGroupName, State, Target, UnresolvedPlace},
        audit::Kind,
        call::Action,
        reason::Reason,
    },
    ports::{
        LogGroup, UpstreamError,
        aws::{AwsAnswer, Refusal},
        limit::Feedback,
        quotas::NotAsked,
    },
    testing::{
        FakeAudit, FakeAws, FakeClock, FakePace, FakePolicy, FakeQueries, FakeQuota, FakeRules, FakeTenants,
        KEY, OTHER_KEY, call, principal, tenant,
    },
};

const ALL: &[&str] = &["logkey:read", "logkey:associate", "logkey:disassociate", "logkey:query-results"];
const PATIENCE: Duration = Duration::from_secs(5);

struct World {
    broker: KeyBroker,
    rules: Arc<FakeRules>,
    aws: Arc<FakeAws>,
    queries: Arc<FakeQueries>,
    audit: Arc<FakeAudit>,
    pace: Arc<FakePace>,
    clock: Arc<FakeClock>,
    tasks: TaskTracker,
}

fn world() -> World {
    world_with(FakePolicy::default(), FakePace::default(), groups(&["/app/web", "/other/x"]))
}

fn world_with(policy: FakePolicy, pace: FakePace, groups: Vec<LogGroup>) -> World {
    world_of(tenant("acme"), policy, pace, groups)
}

fn world_of(tenant: Tenant, policy: FakePolicy, pace: FakePace, groups: Vec<LogGroup>) -> World {
    let (aws, audit, pace) =
        (Arc::new(FakeAws::with(groups)), Arc::new(FakeAudit::default()), Arc::new(pace));
    let (clock, queries) = (Arc::new(FakeClock::default()), Arc::new(FakeQueries::default()));
    let tasks = TaskTracker::new();
    let tenants = Arc::new(FakeTenants(vec![Arc::new(tenant)]));
    let rules = Arc::new(FakeRules::of(tenants, Arc::new(policy)));
    let broker = KeyBroker::new(Ports {
        rules: rules.clone(),
        associations: aws.clone(),
        log_groups: aws.clone(),
        keys: aws.clone(),
        queries: queries.clone(),
        roles: aws.clone(),
        quotas: Arc::new(NotAsked),
        pace: pace.clone(),
        quota: Arc::new(FakeQuota),
        audit: audit.clone(),
        history: audit.history.clone(),
        seen: audit.history.clone(),
        requests: audit.history.clone(),
        open: audit.clone(),
        clock: clock.clone(),
        tasks: tasks.clone(),
    });
    World { broker, rules, aws, queries, audit, pace, clock, tasks }
}

fn groups(names: &[&str]) -> Vec<LogGroup> {
    let group = |name: &&str| LogGroup {
        name: name.parse().unwrap(),
        key: None,
        class: Some("STANDARD".into()),
        retention: Some(Duration::from_hours(24)),
        created: None,
    };
    names.iter().map(group).collect()
}

fn on(name: &str) -> UnresolvedResource {
    let target = Target::LogGroup(name.parse::<LogGroupName>().unwrap());
    UnresolvedResource { place: UnresolvedPlace::default(), target }
}

fn ask(name: &str) -> AskAssociate {
    AskAssociate {
        resource: on(name),
        key: KEY.parse().unwrap(),
        reason: None,
        expected: None,
        validate_only: false,
        request_id: None,
    }
}

impl World {
    async fn associate(&self, scopes: &[&str], ask: AskAssociate) -> Result<Changed, Error> {
        let call = call(Action::AssociateKmsKey, PATIENCE);
        self.broker.associate(&call, &principal("acme", scopes), ask).await
    }

    fn kinds(&self) -> Vec<(Kind, Option<Reason>)> {
        let entries = self.audit.entries();
        entries
            .iter()
            .map(|entry| (entry.event.kind, entry.event.end.as_ref().and_then(|end| end.failure)))
            .collect()
    }
}

fn throttle() -> UpstreamError {
    UpstreamError::Throttled { answer: AwsAnswer::default() }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_recorded_before_and_after_it_reaches_aws() {
    let world = world();
    let changed = world.associate(ALL, ask("/app/web")).await.unwrap();

    assert_eq!(changed.association.state, State::Settling);
    assert_eq!(world.aws.seen().len(), 1);
    assert_eq!(world.kinds(), [(Kind::Intent, None), (Kind::Outcome, None)]);
    let entries = world.audit.entries();
    let [intent, outcome] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(intent.event.correlation, outcome.event.correlation);
    assert_eq!(outcome.association.as_ref().unwrap().key.as_ref().unwrap().as_str(), KEY);
    assert_eq!(intent.association, None);
    // A look at what is about to be replaced, and the change.
    assert_eq!(world.pace.used(), [Feedback::Counted; 2]);
}

#[tokio::test(start_paused = true)]
async fn nothing_reaches_aws_without_scope_grant_and_permit() {
    let elsewhere = UnresolvedResource {
        place: UnresolvedPlace { account: Some("999999999999".parse().unwrap()), region: None },
        ..on("/app/web")
    };
    let foreign_key = "arn:aws:kms:eu-west-1:999999999999:key/1234";
    let far_key = "arn:aws:kms:us-east-1:111122223333:key/1234";
    let query = UnresolvedResource { target: Target::QueryResults, ..on("x") };
    for (scopes, ask, reason) in [
        (&["logkey:read"][..], ask("/app/web"), Reason::ScopeMissing),
        (&["logkey:associate"], AskAssociate { resource: query, ..ask("/app/web") }, Reason::ScopeMissing),
        (ALL, ask("/other/x"), Reason::LogGroupNotFound),
        (ALL, ask("aws/spans"), Reason::LogGroupReserved),
        (ALL, AskAssociate { resource: elsewhere, ..ask("x") }, Reason::AccountNotFound),
        (ALL, AskAssociate { key: foreign_key.parse().unwrap(), ..ask("/app/web") }, Reason::KeyNotFound),
        (ALL, AskAssociate { key: far_key.parse().unwrap(), ..ask("/app/web") }, Reason::KeyRegionMismatch),
    ] {
        let world = world();
        let error = world.associate(scopes, ask).await.unwrap_err();
        assert_eq!(error.reason(), reason);
        assert_eq!(world.aws.seen(), []);
        assert_eq!(world.kinds(), []);
        let notes = world.audit.notes();
        assert_eq!(notes.iter().map(|event| event.kind).collect::<Vec<_>>(), [Kind::Refusal]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_forbids_is_named() {
    let world = world_with(FakePolicy { forbids: true }, FakePace::default(), groups(&["/app/web"]));
    let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
    let Error::NotAllowed { policies } = &error else { panic!("{error:?}") };
    assert_eq!(policies.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["forbidden"]);
    assert_eq!(world.aws.seen(), []);
}

#[tokio::test(start_paused = true)]
async fn without_an_audit_log_nothing_is_sent() {
    let world = world();
    world.audit.fail();
    let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::AuditUnavailable);
    assert_eq!(world.aws.seen(), []);
}

#[tokio::test(start_paused = true)]
async fn an_audit_log_that_hangs_fails_the_call_by_its_deadline() {
    let world = world();
    world.audit.hang_after(0);
    let began = tokio::time::Instant::now();
    let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::AuditUnavailable);
    assert!(began.elapsed() <= PATIENCE + Duration::from_millis(1));
    assert_eq!(world.aws.seen(), []);
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_outcome_cannot_be_written_is_never_a_bare_success() {
    let world = world();
    world.audit.hang_after(1);
    let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
    assert!(matches!(error, Error::OutcomePending { aws_request_id: Some(_) }), "{error:?}");
    assert_eq!(world.aws.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_failed_and_whose_outcome_cannot_be_written_says_both() {
    let refused = |refusal| UpstreamError::Refused { refusal, answer: AwsAnswer::default() };
    for (answer, reason) in [
        (refused(Refusal::KeyDisabled), Reason::KeyDisabled),
        (refused(Refusal::LogGroupNotFound), Reason::LogGroupNotFound),
        (UpstreamError::RoleNotAssumable { answer: AwsAnswer::default() }, Reason::RoleNotAssumable),
    ] {
        let world = world();
        world.audit.hang_after(1);
        world.aws.answer(answer);
        let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
        assert_eq!(error.reason(), reason);
        let Error::Unrecorded { error } = error else { panic!("{error:?}") };
        assert!(reason != Reason::LogGroupNotFound || matches!(*error, Error::LogGroupNotFound { .. }));
        assert_eq!(world.aws.seen().len(), 1);
    }
    let unanswered = world();
    unanswered.audit.hang_after(1);
    unanswered.aws.dawdle(Duration::from_mins(1));
    let error = unanswered.associate(ALL, ask("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::OutcomeUnknown);
    assert!(matches!(error, Error::Unrecorded { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_takes_nothing_along() {
    let world = world();
    world.aws.dawdle(Duration::from_secs(2));
    let gone = tokio::time::timeout(Duration::from_secs(1), world.associate(ALL, ask("/app/web")));
    assert!(gone.await.is_err());

    world.tasks.close();
    world.tasks.wait().await;
    assert_eq!(world.kinds(), [(Kind::Intent, None), (Kind::Outcome, None)]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_after_the_intent_leaves_an_outcome_that_is_not_known() {
    let world = world();
    world.aws.panic();
    let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::OutcomeUnknown);
    assert_eq!(world.aws.seen().len(), 1);
    assert_eq!(world.kinds(), [(Kind::Intent, None), (Kind::Outcome, Some(Reason::OutcomeUnknown))]);
}

#[tokio::test(start_paused = true)]
async fn throttles_and_conflicts_are_waited_out_within_the_deadline() {
    let world = world();
    world.aws.answer(throttle());
    world.aws.answer(UpstreamError::Conflict { answer: AwsAnswer::default() });
    world.associate(ALL, ask("/app/web")).await.unwrap();
    assert_eq!(world.pace.used()[1..], [Feedback::Throttled, Feedback::Counted, Feedback::Counted]);
    assert_eq!(world.kinds(), [(Kind::Intent, None), (Kind::Outcome, None)]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_aws_is_not_repeated_and_keeps_its_words() {
    let world = world();
    let answer = AwsAnswer { code: "AccessDeniedException".into(), ..AwsAnswer::default() };
    world.aws.answer(UpstreamError::Refused { refusal: Refusal::KeyDisabled, answer });
    let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::KeyDisabled);
    assert_eq!(world.aws.seen().len(), 1);
    assert_eq!(world.kinds(), [(Kind::Intent, None), (Kind::Outcome, Some(Reason::KeyDisabled))]);
    assert!(world.audit.entries().iter().all(|entry| entry.association.is_none()));
}

#[tokio::test(start_paused = true)]
async fn no_turn_in_time_is_told_with_when_to_return_and_nothing_is_sent() {
    let pace = FakePace::without_turns(Duration::from_secs(9));
    let world = world_with(FakePolicy::default(), pace, groups(&["/app/web"]));
    let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
    let Error::BudgetExhausted { retry_after } = error else { panic!("{error:?}") };
    assert_eq!(retry_after, Duration::from_secs(9));
    assert_eq!(world.aws.seen(), []);
    assert_eq!(world.kinds(), [(Kind::Intent, None), (Kind::Outcome, Some(Reason::AccountBudgetExhausted))]);
}

#[tokio::test(start_paused = true)]
async fn no_answer_until_the_deadline_is_an_unknown_outcome() {
    let world = world();
    for _ in 0..100 {
        world.aws.answer(UpstreamError::Unanswered("reset".into()));
    }
    let error = world.associate(ALL, ask("/app/web")).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { event: Some(_), .. }), "{error:?}");
    assert_eq!(world.kinds(), [(Kind::Intent, None), (Kind::Outcome, Some(Reason::OutcomeUnknown))]);
}

#[tokio::test(start_paused = true)]
async fn disassociating_names_the_former_key_and_until_when_it_matters() {
    let mut groups = groups(&["/app/web"]);
    groups[0].key = Some(OTHER_KEY.parse().unwrap());
    let world = world_with(FakePolicy::default(), FakePace::default(), groups);
    let call = call(Action::DisassociateKmsKey, PATIENCE);
    let ask = AskDisassociate {
        resource: on("/app/web"),
        reason: None,
        expected: None,
        validate_only: false,
        request_id: None,
    };
    let changed = world.broker.disassociate(&call, &principal("acme", ALL), ask).await.unwrap();
    assert_eq!(changed.association.previous_key.unwrap().as_str(), OTHER_KEY);
    let [warning] = changed.warnings.as_slice() else { panic!("{:?}", changed.warnings) };
    assert_eq!(warning.code, "FORMER_KEY_STILL_PROTECTS_DATA");
    assert!(warning.message.contains(OTHER_KEY) && warning.message.contains("until 20"), "{warning:?}");
}

#[tokio::test(start_paused = true)]
async fn query_results_are_told_from_our_own_record() {
    let world = world();
    let resource = UnresolvedResource { target: Target::QueryResults, ..on("x") };
    let get = |world: &World| {
        let broker = world.broker.clone();
        let resource = resource.clone();
        async move {
            let call = call(Action::GetKeyAssociation, PATIENCE);
            broker.get(&call, &principal("acme", ALL), resource).await.unwrap()
        }
    };
    assert_eq!(get(&world).await.state, State::Unknown);

    let ask = AskAssociate { resource: resource.clone(), ..ask("/app/web") };
    world.associate(ALL, ask).await.unwrap();
    let told = get(&world).await;
    assert_eq!((told.state, told.key.unwrap().as_str()), (State::Settling, KEY));

    world.clock.advance(Duration::from_mins(5));
    assert_eq!(get(&world).await.state, State::InForce);
}

#[tokio::test(start_paused = true)]
async fn a_list_shows_only_what_the_tenant_may_see_page_by_page() {
    let names: Vec<String> =
        (0..200).map(|n| format!("/{}/{n:03}", if n % 2 == 0 { "app" } else { "other" })).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = world_with(FakePolicy::default(), FakePace::default(), groups(&names));
    let mut seen = Vec::new();
    let mut token: Box<str> = Box::default();
    loop {
        let call = call(Action::ListKeyAssociations, PATIENCE);
        let ask = AskList {
            place: UnresolvedPlace::default(),
            page_size: 30,
            unverified_page_token: token,
            prefix: Box::default(),
            filter: KeyFilter::Any,
        };
        let page = world.broker.list(&call, &principal("acme", ALL), ask).await.unwrap();
        assert!(page.associations.len() <= 30);
        seen.extend(page.associations.iter().map(|it| it.resource.to_string()));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 100);
    assert!(seen.iter().all(|arn| arn.contains(":/app/")));
    assert!(seen.is_sorted() && seen.windows(2).all(|pair| pair[0] != pair[1]));
}

mod careful;
mod diagnosis;
mod former;
mod keeping;
mod logging;
mod repeating;
mod settling;
mod usage;
mod verifying;
