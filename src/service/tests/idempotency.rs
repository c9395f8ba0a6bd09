//! Requests with an idempotency key.

use uuid::Uuid;

use super::*;
use crate::domain::idempotency::IDEMPOTENCY_WINDOW;

const ID: Uuid = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);

fn with_id(name: &str) -> AssociateRequest {
    AssociateRequest { request_id: Some(ID), ..request(name) }
}

async fn associate_within(
    env: &TestEnv,
    timeout: Duration,
    request: AssociateRequest,
) -> Result<Changed, Error> {
    let call = call(Action::AssociateKmsKey, timeout);
    associate(env.cx(call, principal("acme", ALL)), request).await
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_gets_the_recorded_response_and_is_sent_once() {
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
async fn an_idempotency_key_expires_after_a_day() {
    let env = env();
    let first = env.associate(ALL, with_id("/app/web")).await.unwrap();
    env.clock.advance(IDEMPOTENCY_WINDOW);
    let again = env.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_ne!(again.event, first.event);
    assert_eq!(env.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_different_request_with_the_same_id_is_rejected() {
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
async fn a_repetition_waits_for_the_first_request_and_a_different_one_does_not() {
    let env = env();
    env.aws.delay(Duration::from_secs(3));
    let start = tokio::time::Instant::now();
    let soon = async |request, timeout| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let result = associate_within(&env, timeout, request).await;
        (result, start.elapsed())
    };
    let other = AssociateRequest { reason: "ticket".parse().ok(), ..with_id("/app/web") };
    let (first, (again, after), (short, timed_out), (other, at_once)) = tokio::join!(
        env.associate(ALL, with_id("/app/web")),
        soon(with_id("/app/web"), TIMEOUT),
        soon(with_id("/app/web"), Duration::from_secs(1)),
        soon(other, TIMEOUT),
    );
    assert_eq!(again.unwrap(), first.unwrap());
    assert_eq!(after.as_secs(), 3);
    assert!(matches!(short, Err(Error::Change(ChangeError::RequestInFlight))), "{short:?}");
    assert_eq!(timed_out.as_secs(), 2);
    assert_eq!(other.unwrap_err().reason(), Reason::RequestIdReused);
    assert_eq!(at_once.as_secs(), 1);
    assert_eq!(env.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_disconnected_gets_the_response_when_it_repeats() {
    let env = env();
    env.aws.delay(Duration::from_secs(2));
    let disconnected = tokio::time::timeout(Duration::from_secs(1), env.associate(ALL, with_id("/app/web")));
    assert!(disconnected.await.is_err());
    let again = env.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(again.association.key.unwrap().as_str(), KEY);
    assert_eq!(env.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_aws_is_replayed() {
    let env = env();
    let answer = AwsErrorDetails { code: "AccessDeniedException".into(), ..AwsErrorDetails::default() };
    env.aws.answer(UpstreamError::Refused {
        refusal: Refusal::Denied(AccessDenial::of(DeniedAction::Logs)),
        answer,
    });
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
async fn a_request_that_did_not_reach_aws_can_be_repeated() {
    let env = env();
    env.aws.answer(role_denied());
    let first = env.associate(ALL, with_id("/app/web")).await.unwrap_err();
    assert_eq!(first.reason(), Reason::RoleNotAssumable);
    let again = env.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(env.associate(ALL, with_id("/app/web")).await.unwrap(), again);
    assert_eq!(env.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_read_back_before_it_is_sent_again() {
    for (current, sent) in [(Some(KEY), 1), (Some(OTHER_KEY), 2)] {
        let mut groups = groups(&["/app/web"]);
        groups[0].key = current.map(|key| key.parse().unwrap());
        let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups);
        env.aws.delay(Duration::from_mins(1));
        let first = env.associate(ALL, with_id("/app/web")).await.unwrap_err();
        assert_eq!(first.reason(), Reason::OutcomeUnknown);
        env.aws.delay(Duration::ZERO);

        let again = env.associate(ALL, with_id("/app/web")).await.unwrap();
        assert_eq!(again.association.key.as_ref().unwrap().as_str(), KEY);
        assert_eq!(env.aws.calls().len(), sent, "{current:?}");
        assert_eq!(env.associate(ALL, with_id("/app/web")).await.unwrap(), again);
        assert_eq!(env.aws.calls().len(), sent);
        let reconciled = env.kinds().iter().filter(|(kind, _)| matches!(kind, Kind::Reconciled(_))).count();
        assert_eq!(reconciled, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_request_is_reconciled_once_it_cannot_be_in_flight() {
    let mut groups = groups(&["/app/web"]);
    groups[0].key = Some(KEY.parse().unwrap());
    let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups);
    // The log never accepts the outcome.
    env.audit.block_after(1);
    env.associate(ALL, with_id("/app/web")).await.unwrap_err();
    env.audit.block_after(100);
    let busy = associate_within(&env, Duration::from_secs(2), with_id("/app/web")).await.unwrap_err();
    assert_eq!(busy.reason(), Reason::ConflictingChange);
    env.clock.advance(Duration::from_mins(1));
    let again = env.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(again.warnings[0].code, "OUTCOME_READ_BACK");
    assert_eq!(env.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_response_is_replayed_only_to_a_caller_that_may_make_the_change() {
    let env = env();
    env.associate(ALL, with_id("/app/web")).await.unwrap();
    let error = env.associate(&["logkey:read"], with_id("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::ScopeMissing);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_does_not_use_up_its_request_id() {
    let env = env();
    let request = AssociateRequest { validate_only: true, ..with_id("/app/web") };
    env.associate(ALL, request).await.unwrap();
    env.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(env.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_record_cannot_be_read_is_not_sent() {
    let env = env();
    env.audit.history.fail(true);
    let error = env.associate(ALL, with_id("/app/web")).await.unwrap_err();
    assert!(matches!(error, Error::Storage(StorageError::RecordUnavailable(_))), "{error:?}");
    assert_eq!(env.aws.calls(), []);
}
