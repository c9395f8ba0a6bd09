//! Requests that came with an id of their own.

use uuid::Uuid;

use super::*;
use crate::domain::idempotency::IDEMPOTENCY_WINDOW;

const ID: Uuid = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);

fn with_id(name: &str) -> AssociateRequest {
    AssociateRequest { request_id: Some(ID), ..request(name) }
}

async fn within(env: &TestEnv, timeout: Duration, request: AssociateRequest) -> Result<Changed, Error> {
    let call = call(Action::AssociateKmsKey, timeout);
    associate(env.cx(call, principal("acme", ALL)), request).await
}

#[tokio::test(start_paused = true)]
async fn the_same_request_gives_the_same_answer_and_is_sent_once() {
    let env = env();
    let first = env.associate(ALL, with_id("/app/web")).await.unwrap();
    env.clock.advance(Duration::from_hours(23));
    let again = env.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(env.aws.calls().len(), 1);
    assert_eq!(env.kinds(), [(Kind::Intent, None), (Kind::Outcome, None)]);
    let notes = env.audit.notes();
    assert_eq!(notes.iter().map(|note| note.kind).collect::<Vec<_>>(), [Kind::Read]);
    assert!(notes[0].detail.as_ref().unwrap().contains(&first.event.unwrap().to_string()));
}

#[tokio::test(start_paused = true)]
async fn after_a_day_it_is_forgotten() {
    let env = env();
    let first = env.associate(ALL, with_id("/app/web")).await.unwrap();
    env.clock.advance(IDEMPOTENCY_WINDOW);
    let again = env.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_ne!(again.event, first.event);
    assert_eq!(env.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn another_request_under_the_same_id_is_refused() {
    let other_key = || OTHER_KEY.parse().unwrap();
    for other in [
        with_id("/app/api"),
        AssociateRequest { key: other_key(), ..with_id("/app/web") },
        AssociateRequest { reason: "ticket".parse().ok(), ..with_id("/app/web") },
    ] {
        let env = env_with(
            FakePolicy::default(),
            FakeUpstreamLimiter::default(),
            groups(&["/app/web", "/app/api"]),
        );
        env.associate(ALL, with_id("/app/web")).await.unwrap();
        let error = env.associate(ALL, other).await.unwrap_err();
        assert_eq!(error.reason(), Reason::RequestIdReused);
        assert_eq!(env.aws.calls().len(), 1);
    }
    let env = env();
    env.associate(ALL, with_id("/app/web")).await.unwrap();
    let call = call(Action::DisassociateKmsKey, TIMEOUT);
    let request = DisassociateRequest {
        resource: on("/app/web"),
        reason: None,
        expected: None,
        validate_only: false,
        request_id: Some(ID),
    };
    let error = disassociate(env.cx(call, principal("acme", ALL)), request).await.unwrap_err();
    assert_eq!(error.reason(), Reason::RequestIdReused);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_waits_for_the_first_and_another_request_does_not() {
    let env = env();
    env.aws.delay(Duration::from_secs(3));
    let start = tokio::time::Instant::now();
    let soon = async |request, timeout| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let result = within(&env, timeout, request).await;
        (result, start.elapsed())
    };
    let other = AssociateRequest { reason: "ticket".parse().ok(), ..with_id("/app/web") };
    let (first, (again, after), (impatient, gave_up), (other, at_once)) = tokio::join!(
        env.associate(ALL, with_id("/app/web")),
        soon(with_id("/app/web"), TIMEOUT),
        soon(with_id("/app/web"), Duration::from_secs(1)),
        soon(other, TIMEOUT),
    );
    assert_eq!(again.unwrap(), first.unwrap());
    assert_eq!(after.as_secs(), 3);
    assert!(matches!(impatient, Err(Error::RequestInFlight)), "{impatient:?}");
    assert_eq!(gave_up.as_secs(), 2);
    assert_eq!(other.unwrap_err().reason(), Reason::RequestIdReused);
    assert_eq!(at_once.as_secs(), 1);
    assert_eq!(env.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_went_away_finds_the_answer_when_it_comes_back() {
    let env = env();
    env.aws.delay(Duration::from_secs(2));
    let gone = tokio::time::timeout(Duration::from_secs(1), env.associate(ALL, with_id("/app/web")));
    assert!(gone.await.is_err());
    let again = env.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(again.association.key.unwrap().as_str(), KEY);
    assert_eq!(env.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_aws_is_an_answer() {
    let env = env();
    let answer = AwsErrorDetails { code: "AccessDeniedException".into(), ..AwsErrorDetails::default() };
    env.aws.answer(UpstreamError::Refused { refusal: Refusal::RoleLacksLogs, answer });
    let first = env.associate(ALL, with_id("/app/web")).await.unwrap_err();
    let again = env.associate(ALL, with_id("/app/web")).await.unwrap_err();
    assert_eq!((first.reason(), again.reason()), (Reason::RoleLacksLogsPermission, first.reason()));
    let Error::ReplayedFailure { error, .. } = &again else { panic!("{again:?}") };
    assert_eq!(error.to_string(), first.to_string());
    assert_eq!(env.aws.calls().len(), 1);
    let new = AssociateRequest { request_id: Some(Uuid::from_u128(2)), ..request("/app/web") };
    env.associate(ALL, new).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_aws_did_not_take_up_may_be_tried_again() {
    let env = env();
    env.aws.answer(UpstreamError::RoleNotAssumable { answer: AwsErrorDetails::default() });
    let first = env.associate(ALL, with_id("/app/web")).await.unwrap_err();
    assert_eq!(first.reason(), Reason::RoleNotAssumable);
    let again = env.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(env.associate(ALL, with_id("/app/web")).await.unwrap(), again);
    assert_eq!(env.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_read_back_before_it_is_sent_again() {
    for (now_in_force, sent) in [(Some(KEY), 1), (Some(OTHER_KEY), 2)] {
        let mut groups = groups(&["/app/web"]);
        groups[0].key = now_in_force.map(|key| key.parse().unwrap());
        let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups);
        env.aws.delay(Duration::from_mins(1));
        let first = env.associate(ALL, with_id("/app/web")).await.unwrap_err();
        assert_eq!(first.reason(), Reason::OutcomeUnknown);
        env.aws.delay(Duration::ZERO);

        let again = env.associate(ALL, with_id("/app/web")).await.unwrap();
        assert_eq!(again.association.key.as_ref().unwrap().as_str(), KEY);
        assert_eq!(env.aws.calls().len(), sent, "{now_in_force:?}");
        assert_eq!(env.associate(ALL, with_id("/app/web")).await.unwrap(), again);
        assert_eq!(env.aws.calls().len(), sent);
        let reconciled = env.kinds().iter().filter(|(kind, _)| matches!(kind, Kind::Reconciled(_))).count();
        assert_eq!(reconciled, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_a_crash_cut_off_is_settled_once_it_cannot_be_under_way() {
    let mut groups = groups(&["/app/web"]);
    groups[0].key = Some(KEY.parse().unwrap());
    let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups);
    // The outcome never gets into the log.
    env.audit.block_after(1);
    env.associate(ALL, with_id("/app/web")).await.unwrap_err();
    env.audit.block_after(100);
    let busy = within(&env, Duration::from_secs(2), with_id("/app/web")).await.unwrap_err();
    assert_eq!(busy.reason(), Reason::ConflictingChange);
    env.clock.advance(Duration::from_mins(1));
    let again = env.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(again.warnings[0].code, "OUTCOME_READ_BACK");
    assert_eq!(env.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_repeated_only_to_who_may_make_the_change() {
    let env = env();
    env.associate(ALL, with_id("/app/web")).await.unwrap();
    let error = env.associate(&["logkey:read"], with_id("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::ScopeMissing);
}

#[tokio::test(start_paused = true)]
async fn validating_takes_no_id() {
    let env = env();
    let request = AssociateRequest { validate_only: true, ..with_id("/app/web") };
    env.associate(ALL, request).await.unwrap();
    env.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(env.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_its_record_a_request_with_an_id_is_not_sent() {
    let env = env();
    env.audit.history.fail(true);
    let error = env.associate(ALL, with_id("/app/web")).await.unwrap_err();
    assert!(matches!(error, Error::RecordUnavailable(_)), "{error:?}");
    assert_eq!(env.aws.calls(), []);
}
