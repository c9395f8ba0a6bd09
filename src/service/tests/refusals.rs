//! Refusals of AWS: which are retried, which are recorded for a request id, and whose matter each is.

use uuid::Uuid;

use super::{diagnosis::BOTH, *};
use crate::{
    domain::{
        diagnosis::{CheckName, Outcome},
        key::KeyState,
        policy_simulation::SimulationDecision,
        refusal::{DenyingPolicy, ServiceFault},
        request::CheckRequest,
    },
    service::error::Repetition,
};

/// The number of errors that no call within its deadline uses up.
const MANY: usize = 100;

fn refused(refusal: Refusal) -> UpstreamError {
    let answer = AwsErrorDetails { code: "AccessDeniedException".into(), ..AwsErrorDetails::default() };
    UpstreamError::Refused { refusal, answer }
}

fn misconfigured(fault: ServiceFault) -> UpstreamError {
    let answer = AwsErrorDetails { message: "User: hub".into(), ..AwsErrorDetails::default() };
    UpstreamError::ServiceMisconfigured { fault, answer }
}

fn with_id() -> AssociateRequest {
    AssociateRequest { request_id: Some(Uuid::from_u128(7)), ..request("/app/web") }
}

/// An environment in which every check passes.
fn all_good() -> TestEnv {
    let env = env();
    env.aws.set_key_policies(BOTH);
    env.aws.set_simulation("", SimulationDecision::Allowed);
    env
}

/// An error that blocks every read, and the check and reason that it leads to.
type BlockingError = (fn() -> UpstreamError, CheckName, Reason);

/// The refusals of which no check finds the cause.
fn unexplained() -> [Refusal; 7] {
    [
        Refusal::KeyNotFound,
        Refusal::KeyDisabled,
        Refusal::KeyPendingDeletion,
        Refusal::Other,
        Refusal::KeyMissingOrNotAllowed,
        Refusal::Denied(AccessDenial::of(DeniedAction::Kms)),
        Refusal::Denied(AccessDenial::of(DeniedAction::Logs)),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_a_cause_is_retried_until_aws_accepts_the_change() {
    for refusal in unexplained() {
        let env = all_good();
        env.aws.answer(refused(refusal));
        env.aws.answer(refused(refusal));
        env.associate(ALL, request("/app/web")).await.unwrap();
        assert_eq!(env.aws.calls().len(), 3, "{refusal:?}");
        assert_eq!(env.kinds(), [(Kind::Intent, None), (Kind::Outcome, None)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_a_cause_can_be_repeated_with_the_same_request_id() {
    for refusal in unexplained() {
        let env = all_good();
        for _ in 0..MANY {
            env.aws.answer(refused(refusal));
        }
        let start = tokio::time::Instant::now();
        let error = env.associate(ALL, with_id()).await.unwrap_err();
        let Error::Aws(AwsCallError::Diagnosed { repetition, .. }) = &error else { panic!("{error:?}") };
        assert_eq!(*repetition, Repetition::Advised);
        assert!(start.elapsed() <= TIMEOUT && env.aws.calls().len() > 1, "{:?}", start.elapsed());
        env.aws.clear_answers();
        env.associate(ALL, with_id()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_at_the_deadline_is_explained_like_the_one_before_it() {
    let env = all_good();
    env.aws.answer(refused(Refusal::KeyMissingOrNotAllowed));
    env.aws.answer(refused(Refusal::KeyMissingOrNotAllowed));
    // The second answer comes after the deadline.
    env.aws.delay(TIMEOUT.mul_f64(0.45));
    let error = env.associate(ALL, with_id()).await.unwrap_err();
    let Error::Aws(AwsCallError::Diagnosed { repetition, .. }) = &error else { panic!("{error:?}") };
    assert_eq!((*repetition, error.reason()), (Repetition::Advised, Reason::KeyNotUsable));
    assert_eq!(env.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_with_a_cause_is_not_retried() {
    let env = all_good();
    env.aws.set_keys(KeyState::Disabled);
    env.aws.answer(refused(Refusal::KeyMissingOrNotAllowed));
    let error = env.associate(ALL, with_id()).await.unwrap_err();
    assert_eq!((error.reason(), env.aws.calls().len()), (Reason::KeyDisabled, 1));
    let again = env.associate(ALL, with_id()).await.unwrap_err();
    assert!(matches!(again, Error::ReplayedFailure { .. }), "{again:?}");
    assert_eq!(env.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_may_pass_by_itself_is_not_replayed() {
    let unread_policy = env();
    unread_policy.aws.answer(refused(Refusal::KeyMissingOrNotAllowed));
    let creating = all_good();
    creating.aws.set_keys(KeyState::Other("Creating".into()));
    creating.aws.answer(refused(Refusal::KeyMissingOrNotAllowed));
    let of = |refusal| {
        let env = all_good();
        env.aws.answer(refused(refusal));
        env
    };
    for (env, reason) in [
        (unread_policy, Reason::KeyPolicyLacksLogsService),
        (creating, Reason::KeyNotUsable),
        (of(Refusal::LogGroupNotFound), Reason::LogGroupNotFound),
        (of(Refusal::RegionNotEnabled), Reason::RegionNotEnabled),
        (of(Refusal::AccountNotSubscribed), Reason::AccountNotSubscribed),
    ] {
        let error = env.associate(ALL, with_id()).await.unwrap_err();
        assert_eq!(error.reason(), reason);
        assert_eq!(env.aws.calls().len(), 1, "{reason}");
        env.associate(ALL, with_id()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_that_names_its_policy_is_not_second_guessed() {
    for (by, reason) in [
        (DenyingPolicy::PermissionsBoundary, Reason::RoleLacksLogsPermission),
        (DenyingPolicy::ServiceControl, Reason::DeniedByOrganization),
        (DenyingPolicy::ResourceControl, Reason::DeniedByOrganization),
        (DenyingPolicy::Session, Reason::ServiceMisconfigured),
        (DenyingPolicy::VpcEndpoint, Reason::ServiceMisconfigured),
    ] {
        let env = all_good();
        let denial = AccessDenial { action: DeniedAction::Logs, by, explicit: false };
        env.aws.answer(refused(Refusal::Denied(denial)));
        let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
        assert_eq!((error.reason(), env.aws.calls().len()), (reason, 1), "{by:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_an_unanswered_attempt_leaves_the_outcome_unknown() {
    let unanswered = || UpstreamError::Unanswered("reset".into());
    let fault = || UpstreamError::Fault { answer: AwsErrorDetails::default() };
    for (first, second) in [
        (unanswered(), refused(Refusal::KeyDisabled)),
        (fault(), refused(Refusal::KeyMissingOrNotAllowed)),
        (unanswered(), role_denied()),
        (unanswered(), misconfigured(ServiceFault::CredentialsExpired)),
    ] {
        let mut groups = groups(&["/app/web"]);
        groups[0].key = Some(KEY.parse().unwrap());
        let env = env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups);
        env.aws.answer(first);
        env.aws.answer(second);
        let error = env.associate(ALL, with_id()).await.unwrap_err();
        assert_eq!(error.reason(), Reason::OutcomeUnknown, "{error:?}");
        // AWS executed the first attempt. The same request finds that out and does not make the change again.
        env.associate(ALL, with_id()).await.unwrap();
        assert_eq!(env.aws.calls().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_permit_after_a_throttle_the_delay_is_the_limiters() {
    let env = env();
    // One permit for the read of the log group, and one for the change.
    env.limiter.with_remaining(2);
    env.aws.answer(throttle());
    let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
    let Error::Aws(AwsCallError::Throttled { retry_after, .. }) = error else { panic!("{error:?}") };
    assert_eq!(retry_after, FakeUpstreamLimiter::RETRY_AFTER);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_by_sts_does_not_slow_the_changes() {
    let env = env();
    env.aws.answer(UpstreamError::StsThrottled { answer: AwsErrorDetails::default() });
    let start = tokio::time::Instant::now();
    env.associate(ALL, request("/app/web")).await.unwrap();
    assert!(start.elapsed() > Duration::ZERO, "the retry waits");
    assert_eq!(env.limiter.used()[1..], [UpstreamOutcome::NotSent, UpstreamOutcome::Counted]);
    for _ in 0..MANY {
        env.aws.answer(UpstreamError::StsThrottled { answer: AwsErrorDetails::default() });
    }
    let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::AwsThrottled);
    assert!(env.limiter.used().iter().all(|used| *used != UpstreamOutcome::Throttled));
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_service_is_not_retried_or_recorded_with_aws_words() {
    for fault in ServiceFault::ALL {
        let env = all_good();
        env.aws.answer(misconfigured(fault));
        let error = env.associate(ALL, with_id()).await.unwrap_err();
        assert_eq!((error.reason(), env.aws.calls().len()), (Reason::ServiceMisconfigured, 1));
        let recorded = format!("{:?}", env.audit.entries());
        assert!(!recorded.contains("User: hub"), "{recorded}");
        env.associate(ALL, with_id()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn every_operation_names_what_keeps_it_from_reading() {
    let cases: [BlockingError; 4] = [
        (role_denied, CheckName::RoleAssumable, Reason::RoleNotAssumable),
        (
            || misconfigured(ServiceFault::CredentialsMissing),
            CheckName::RoleAssumable,
            Reason::ServiceMisconfigured,
        ),
        (|| refused(Refusal::RegionNotEnabled), CheckName::RegionEnabled, Reason::RegionNotEnabled),
        (|| refused(Refusal::AccountNotSubscribed), CheckName::RegionEnabled, Reason::AccountNotSubscribed),
    ];
    for (error, name, reason) in cases {
        let env = all_good();
        env.aws.fail_reads(error);
        let reader = || principal("acme", &["logkey:read"]);
        let request = CheckRequest { resource: on("/app/web"), key: KEY.parse().unwrap() };
        let checked = check(env.cx(call(Action::CheckKeyAssociation, TIMEOUT), reader()), request);
        let tested =
            test_access(env.cx(call(Action::TestAccess, TIMEOUT), reader()), UnresolvedLocation::default());
        for diagnosis in [checked.await.unwrap(), tested.await.unwrap()] {
            let cause = diagnosis.cause().unwrap();
            assert_eq!((cause.name, cause.outcome), (name, Outcome::Failed(reason)), "{diagnosis:#?}");
        }
        let read = get(env.cx(call(Action::GetKeyAssociation, TIMEOUT), reader()), on("/app/web"));
        assert_eq!(read.await.unwrap_err().reason(), reason);
    }
}
