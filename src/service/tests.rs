//! Tests of the use cases over fakes. They assert above all what does not reach AWS.

use std::{sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    domain::{
        association::{
            AssociationState, KeyAssociation, KeyFilter, LogGroupName, Resource, Target, UnresolvedLocation,
            Warning,
        },
        audit::Kind,
        call::{Action, Call},
        key::KeyState,
        principal::Principal,
        reason::Reason,
        refusal::{AccessDenial, AssumeRoleRefusal, DeniedAction, RoleAction},
        request::{AssociateRequest, DisassociateRequest, ListRequest, UnresolvedResource},
        tenant::Tenant,
    },
    ports::{
        LogGroup, UpstreamError,
        aws::{AwsErrorDetails, Refusal},
        limit::UpstreamOutcome,
        quotas::QuotaDiscoveryDisabled,
    },
    testing::{
        FakeAudit, FakeAws, FakeClock, FakePolicy, FakeQueries, FakeQuota, FakeRules, FakeTenants,
        FakeUpstreamLimiter, KEY, OTHER_KEY, call, principal, tenant,
    },
};

const ALL: &[&str] = &["logkey:read", "logkey:associate", "logkey:disassociate", "logkey:query-results"];
const TIMEOUT: Duration = Duration::from_secs(5);

struct TestEnv {
    state: Arc<ServiceState>,
    rules: Arc<FakeRules>,
    aws: Arc<FakeAws>,
    queries: Arc<FakeQueries>,
    audit: Arc<FakeAudit>,
    limiter: Arc<FakeUpstreamLimiter>,
    clock: Arc<FakeClock>,
    tasks: TaskTracker,
}

fn env() -> TestEnv {
    env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups(&["/app/web", "/other/x"]))
}

fn env_with(policy: FakePolicy, limiter: FakeUpstreamLimiter, groups: Vec<LogGroup>) -> TestEnv {
    env_of(vec![tenant("acme")], policy, limiter, groups)
}

/// The state of a service for these tenants, over fakes.
pub(in crate::service) fn state_of(tenants: &[&str]) -> Arc<ServiceState> {
    let tenants = tenants.iter().map(|id| tenant(id)).collect();
    env_of(tenants, FakePolicy::default(), FakeUpstreamLimiter::default(), Vec::new()).state
}

fn env_of(
    tenants: Vec<Tenant>,
    policy: FakePolicy,
    limiter: FakeUpstreamLimiter,
    groups: Vec<LogGroup>,
) -> TestEnv {
    let (aws, audit, limiter) =
        (Arc::new(FakeAws::with(groups)), Arc::new(FakeAudit::default()), Arc::new(limiter));
    let (clock, queries) = (Arc::new(FakeClock::default()), Arc::new(FakeQueries::default()));
    let tasks = TaskTracker::new();
    let tenants = Arc::new(FakeTenants(tenants.into_iter().map(Arc::new).collect()));
    let rules = Arc::new(FakeRules::of(tenants, Arc::new(policy)));
    let state = ServiceState::new(Dependencies {
        rules: rules.clone(),
        associations: aws.clone(),
        log_groups: aws.clone(),
        keys: aws.clone(),
        queries: queries.clone(),
        roles: aws.clone(),
        quotas: Arc::new(QuotaDiscoveryDisabled),
        limiter: limiter.clone(),
        quota: Arc::new(FakeQuota),
        audit: audit.clone(),
        history: audit.history.clone(),
        observations: audit.history.clone(),
        requests: audit.history.clone(),
        open: audit.clone(),
        page_tokens: Arc::new(PageTokens::new(&[[1; 32]])),
        clock: clock.clone(),
        tasks: tasks.clone(),
    });
    TestEnv { state, rules, aws, queries, audit, limiter, clock, tasks }
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
    UnresolvedResource { location: UnresolvedLocation::default(), target }
}

fn request(name: &str) -> AssociateRequest {
    AssociateRequest {
        resource: on(name),
        key: KEY.parse().unwrap(),
        reason: None,
        expected: None,
        validate_only: false,
        request_id: None,
    }
}

/// A context over the current snapshot.
fn cx(state: &Arc<ServiceState>, call: Call, caller: Principal) -> Context {
    Context::current(state, Arc::new(call), Arc::new(caller))
}

impl TestEnv {
    fn cx(&self, call: Call, caller: Principal) -> Context {
        cx(&self.state, call, caller)
    }

    async fn associate(&self, scopes: &[&str], request: AssociateRequest) -> Result<Changed, Error> {
        let call = call(Action::AssociateKmsKey, TIMEOUT);
        associate(self.cx(call, principal("acme", scopes)), request).await
    }

    fn kinds(&self) -> Vec<(Kind, Option<Reason>)> {
        let entries = self.audit.entries();
        entries
            .iter()
            .map(|entry| (entry.event.kind, entry.event.end.as_ref().and_then(|end| end.failure)))
            .collect()
    }
}

/// The refusal of STS that names no policy.
fn role_denied() -> UpstreamError {
    let refusal = AssumeRoleRefusal::Denied(RoleAction::AssumeRole);
    UpstreamError::RoleNotAssumable { refusal, answer: AwsErrorDetails::default() }
}

fn throttle() -> UpstreamError {
    UpstreamError::Throttled { answer: AwsErrorDetails::default() }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_recorded_before_and_after_it_reaches_aws() {
    let env = env();
    let changed = env.associate(ALL, request("/app/web")).await.unwrap();

    assert_eq!(changed.association.state, AssociationState::Settling);
    assert_eq!(env.aws.calls().len(), 1);
    assert_eq!(env.kinds(), [(Kind::Intent, None), (Kind::Outcome, None)]);
    let entries = env.audit.entries();
    let [intent, outcome] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(intent.event.correlation, outcome.event.correlation);
    assert_eq!(outcome.association.as_ref().unwrap().key.as_ref().unwrap().as_str(), KEY);
    assert_eq!(intent.association, None);
    // The read of the prior state, and the change.
    assert_eq!(env.limiter.used(), [UpstreamOutcome::Counted; 2]);
}

#[tokio::test(start_paused = true)]
async fn no_change_reaches_aws_without_its_scope_and_grant() {
    let other = UnresolvedResource {
        location: UnresolvedLocation { account: Some("999999999999".parse().unwrap()), region: None },
        ..on("/app/web")
    };
    let foreign_key = "arn:aws:kms:eu-west-1:999999999999:key/1234";
    let far_key = "arn:aws:kms:us-east-1:111122223333:key/1234";
    let query = UnresolvedResource { target: Target::QueryResults, ..on("x") };
    for (scopes, request, reason) in [
        (&["logkey:read"][..], request("/app/web"), Reason::ScopeMissing),
        (
            &["logkey:associate"],
            AssociateRequest { resource: query, ..request("/app/web") },
            Reason::ScopeMissing,
        ),
        (ALL, request("/other/x"), Reason::LogGroupNotFound),
        (ALL, request("aws/spans"), Reason::LogGroupReserved),
        (ALL, AssociateRequest { resource: other, ..request("x") }, Reason::AccountNotFound),
        (
            ALL,
            AssociateRequest { key: foreign_key.parse().unwrap(), ..request("/app/web") },
            Reason::KeyNotFound,
        ),
        (
            ALL,
            AssociateRequest { key: far_key.parse().unwrap(), ..request("/app/web") },
            Reason::KeyRegionMismatch,
        ),
    ] {
        let env = env();
        let error = env.associate(scopes, request).await.unwrap_err();
        assert_eq!(error.reason(), reason);
        assert_eq!(env.aws.calls(), []);
        assert_eq!(env.kinds(), []);
        let notes = env.audit.notes();
        assert_eq!(notes.iter().map(|event| event.kind).collect::<Vec<_>>(), [Kind::Refusal]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_names_the_policy_that_forbids_the_change() {
    let env = env_with(FakePolicy { forbids: true }, FakeUpstreamLimiter::default(), groups(&["/app/web"]));
    let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
    let Error::Access(AccessError::NotAllowed { policies }) = &error else { panic!("{error:?}") };
    assert_eq!(policies.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["forbidden"]);
    assert_eq!(env.aws.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn without_an_audit_log_nothing_is_sent() {
    let env = env();
    env.audit.fail();
    let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::AuditUnavailable);
    assert_eq!(env.aws.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn an_audit_log_that_hangs_fails_the_call_by_its_deadline() {
    let env = env();
    env.audit.block_after(0);
    let started = tokio::time::Instant::now();
    let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::AuditUnavailable);
    assert!(started.elapsed() <= TIMEOUT + Duration::from_millis(1));
    assert_eq!(env.aws.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_outcome_is_not_recorded_is_not_reported_as_success() {
    let env = env();
    env.audit.block_after(1);
    let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
    assert!(
        matches!(error, Error::Change(ChangeError::OutcomeNotRecorded { aws_request_id: Some(_) })),
        "{error:?}"
    );
    assert_eq!(env.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_change_whose_outcome_is_not_recorded_reports_both() {
    let refused_with = |refusal| UpstreamError::Refused { refusal, answer: AwsErrorDetails::default() };
    for (answer, reason) in [
        (refused_with(Refusal::KeyDisabled), Reason::KeyDisabled),
        (refused_with(Refusal::LogGroupNotFound), Reason::LogGroupNotFound),
        (role_denied(), Reason::RoleNotAssumable),
    ] {
        let env = env();
        env.audit.block_after(1);
        env.aws.set_keys(KeyState::Disabled);
        env.aws.answer(answer);
        let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
        assert_eq!(error.reason(), reason);
        let Error::FailureNotRecorded { error } = error else { panic!("{error:?}") };
        assert!(
            reason != Reason::LogGroupNotFound
                || matches!(*error, Error::Request(RequestError::LogGroupNotFound { .. }))
        );
        assert_eq!(env.aws.calls().len(), 1);
    }
    let unanswered = env();
    unanswered.audit.block_after(1);
    unanswered.aws.delay(Duration::from_mins(1));
    let error = unanswered.associate(ALL, request("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::OutcomeUnknown);
    assert!(matches!(error, Error::FailureNotRecorded { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_completes_and_is_recorded_if_its_caller_disconnects() {
    let env = env();
    env.aws.delay(Duration::from_secs(2));
    let disconnected = tokio::time::timeout(Duration::from_secs(1), env.associate(ALL, request("/app/web")));
    assert!(disconnected.await.is_err());

    env.tasks.close();
    env.tasks.wait().await;
    assert_eq!(env.kinds(), [(Kind::Intent, None), (Kind::Outcome, None)]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_after_the_intent_is_recorded_as_an_unknown_outcome() {
    let env = env();
    env.aws.panic();
    let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::OutcomeUnknown);
    assert_eq!(env.aws.calls().len(), 1);
    assert_eq!(env.kinds(), [(Kind::Intent, None), (Kind::Outcome, Some(Reason::OutcomeUnknown))]);
}

#[tokio::test(start_paused = true)]
async fn throttles_and_conflicts_are_retried_within_the_deadline() {
    let env = env();
    env.aws.answer(throttle());
    env.aws.answer(UpstreamError::Conflict { answer: AwsErrorDetails::default() });
    env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(
        env.limiter.used()[1..],
        [UpstreamOutcome::Throttled, UpstreamOutcome::Counted, UpstreamOutcome::Counted]
    );
    assert_eq!(env.kinds(), [(Kind::Intent, None), (Kind::Outcome, None)]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_aws_is_not_retried() {
    let env = env();
    let answer = AwsErrorDetails { code: "AccessDeniedException".into(), ..AwsErrorDetails::default() };
    env.aws.set_keys(KeyState::Disabled);
    env.aws.answer(UpstreamError::Refused { refusal: Refusal::KeyDisabled, answer });
    let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::KeyDisabled);
    assert_eq!(env.aws.calls().len(), 1);
    assert_eq!(env.kinds(), [(Kind::Intent, None), (Kind::Outcome, Some(Reason::KeyDisabled))]);
    assert!(env.audit.entries().iter().all(|entry| entry.association.is_none()));
}

#[tokio::test(start_paused = true)]
async fn without_a_permit_the_error_has_a_retry_delay_and_nothing_is_sent() {
    let limiter = FakeUpstreamLimiter::exhausted(Duration::from_secs(9));
    let env = env_with(FakePolicy::default(), limiter, groups(&["/app/web"]));
    let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
    let Error::Aws(AwsCallError::BudgetExhausted { retry_after }) = error else { panic!("{error:?}") };
    assert_eq!(retry_after, Duration::from_secs(9));
    assert_eq!(env.aws.calls(), []);
    assert_eq!(env.kinds(), [(Kind::Intent, None), (Kind::Outcome, Some(Reason::AccountBudgetExhausted))]);
}

#[tokio::test(start_paused = true)]
async fn no_response_before_the_deadline_is_an_unknown_outcome() {
    let env = env();
    for _ in 0..100 {
        env.aws.answer(UpstreamError::Unanswered("reset".into()));
    }
    let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
    assert!(matches!(error, Error::Change(ChangeError::OutcomeUnknown { event: Some(_), .. })), "{error:?}");
    assert_eq!(env.kinds(), [(Kind::Intent, None), (Kind::Outcome, Some(Reason::OutcomeUnknown))]);
}

#[tokio::test(start_paused = true)]
async fn a_disassociation_names_the_former_key_and_when_its_protection_ends() {
    let mut groups = groups(&["/app/web"]);
    groups[0].key = Some(OTHER_KEY.parse().unwrap());
    let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups);
    let call = call(Action::DisassociateKmsKey, TIMEOUT);
    let request = DisassociateRequest {
        resource: on("/app/web"),
        reason: None,
        expected: None,
        validate_only: false,
        request_id: None,
    };
    let changed = disassociate(env.cx(call, principal("acme", ALL)), request).await.unwrap();
    assert_eq!(changed.association.previous_key.unwrap().as_str(), OTHER_KEY);
    let [warning] = changed.warnings.as_slice() else { panic!("{:?}", changed.warnings) };
    assert_eq!(warning.code, "FORMER_KEY_STILL_PROTECTS_DATA");
    assert!(warning.message.contains(OTHER_KEY) && warning.message.contains("until 20"), "{warning:?}");
}

#[tokio::test(start_paused = true)]
async fn the_key_of_query_results_comes_from_the_record() {
    let env = env();
    let resource = UnresolvedResource { target: Target::QueryResults, ..on("x") };
    let get = |env: &TestEnv| {
        let state = Arc::clone(&env.state);
        let resource = resource.clone();
        async move {
            let call = call(Action::GetKeyAssociation, TIMEOUT);
            super::get(cx(&state, call, principal("acme", ALL)), resource).await.unwrap()
        }
    };
    assert_eq!(get(&env).await.state, AssociationState::Unknown);

    let request = AssociateRequest { resource: resource.clone(), ..request("/app/web") };
    env.associate(ALL, request).await.unwrap();
    let association = get(&env).await;
    assert_eq!((association.state, association.key.unwrap().as_str()), (AssociationState::Settling, KEY));

    env.clock.advance(Duration::from_secs(301));
    assert_eq!(get(&env).await.state, AssociationState::InForce);
}

#[tokio::test(start_paused = true)]
async fn a_list_shows_only_what_the_tenant_may_see_page_by_page() {
    let names: Vec<String> =
        (0..200).map(|n| format!("/{}/{n:03}", if n % 2 == 0 { "app" } else { "other" })).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups(&names));
    let mut names = Vec::new();
    let mut token: Box<str> = Box::default();
    loop {
        let call = call(Action::ListKeyAssociations, TIMEOUT);
        let request = ListRequest {
            location: UnresolvedLocation::default(),
            page_size: 30,
            unverified_page_token: token,
            prefix: Box::default(),
            filter: KeyFilter::Any,
        };
        let page = list(env.cx(call, principal("acme", ALL)), request).await.unwrap();
        assert!(page.associations.len() <= 30);
        names.extend(page.associations.iter().map(|it| it.resource.to_string()));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names.len(), 100);
    assert!(names.iter().all(|arn| arn.contains(":/app/")));
    assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]));
}

#[tokio::test]
async fn the_future_of_a_change_is_small() {
    let env = env();
    let call = call(Action::AssociateKmsKey, TIMEOUT);
    let change = associate(env.cx(call, principal("acme", ALL)), request("/app/web"));
    let bytes = size_of_val(&change);
    assert!(bytes <= 8 * 1024, "{bytes} bytes: box what few changes wait for");
}

mod clocks;
mod diagnosis;
mod former_keys;
mod idempotency;
mod logging;
mod preconditions;
mod query_results_probe;
mod reconciling;
mod refusals;
mod snapshots;
mod stopped_jobs;
mod usage;
