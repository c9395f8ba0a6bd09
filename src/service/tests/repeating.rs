//! Requests that came with an id of their own.

use uuid::Uuid;

use super::*;
use crate::domain::request::REMEMBERED;

const ID: Uuid = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);

fn with_id(name: &str) -> AskAssociate {
    AskAssociate { request_id: Some(ID), ..ask(name) }
}

async fn within(world: &World, patience: Duration, ask: AskAssociate) -> Result<Changed, Error> {
    let call = call(Action::AssociateKmsKey, patience);
    world.broker.associate(&call, &principal("acme", ALL), ask).await
}

#[tokio::test(start_paused = true)]
async fn the_same_request_gives_the_same_answer_and_is_sent_once() {
    let world = world();
    let first = world.associate(ALL, with_id("/app/web")).await.unwrap();
    world.clock.advance(Duration::from_hours(23));
    let again = world.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(world.aws.seen().len(), 1);
    assert_eq!(world.kinds(), [(Kind::Intent, None), (Kind::Outcome, None)]);
    let notes = world.audit.notes();
    assert_eq!(notes.iter().map(|note| note.kind).collect::<Vec<_>>(), [Kind::Read]);
    assert!(notes[0].detail.as_ref().unwrap().contains(&first.event.unwrap().to_string()));
}

#[tokio::test(start_paused = true)]
async fn after_a_day_it_is_forgotten() {
    let world = world();
    let first = world.associate(ALL, with_id("/app/web")).await.unwrap();
    world.clock.advance(REMEMBERED);
    let again = world.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_ne!(again.event, first.event);
    assert_eq!(world.aws.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn another_request_under_the_same_id_is_refused() {
    let other_key = || OTHER_KEY.parse().unwrap();
    for other in [
        with_id("/app/api"),
        AskAssociate { key: other_key(), ..with_id("/app/web") },
        AskAssociate { reason: "ticket".parse().ok(), ..with_id("/app/web") },
    ] {
        let world = world_with(FakePolicy::default(), FakePace::default(), groups(&["/app/web", "/app/api"]));
        world.associate(ALL, with_id("/app/web")).await.unwrap();
        let error = world.associate(ALL, other).await.unwrap_err();
        assert_eq!(error.reason(), Reason::RequestIdReused);
        assert_eq!(world.aws.seen().len(), 1);
    }
    let world = world();
    world.associate(ALL, with_id("/app/web")).await.unwrap();
    let call = call(Action::DisassociateKmsKey, PATIENCE);
    let ask = AskDisassociate {
        resource: on("/app/web"),
        reason: None,
        expected: None,
        validate_only: false,
        request_id: Some(ID),
    };
    let error = world.broker.disassociate(&call, &principal("acme", ALL), ask).await.unwrap_err();
    assert_eq!(error.reason(), Reason::RequestIdReused);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_waits_for_the_first_and_another_request_does_not() {
    let world = world();
    world.aws.dawdle(Duration::from_secs(3));
    let start = tokio::time::Instant::now();
    let soon = async |ask, patience| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let result = within(&world, patience, ask).await;
        (result, start.elapsed())
    };
    let other = AskAssociate { reason: "ticket".parse().ok(), ..with_id("/app/web") };
    let (first, (again, after), (impatient, gave_up), (other, at_once)) = tokio::join!(
        world.associate(ALL, with_id("/app/web")),
        soon(with_id("/app/web"), PATIENCE),
        soon(with_id("/app/web"), Duration::from_secs(1)),
        soon(other, PATIENCE),
    );
    assert_eq!(again.unwrap(), first.unwrap());
    assert_eq!(after.as_secs(), 3);
    assert!(matches!(impatient, Err(Error::StillRunning)), "{impatient:?}");
    assert_eq!(gave_up.as_secs(), 2);
    assert_eq!(other.unwrap_err().reason(), Reason::RequestIdReused);
    assert_eq!(at_once.as_secs(), 1);
    assert_eq!(world.aws.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_went_away_finds_the_answer_when_it_comes_back() {
    let world = world();
    world.aws.dawdle(Duration::from_secs(2));
    let gone = tokio::time::timeout(Duration::from_secs(1), world.associate(ALL, with_id("/app/web")));
    assert!(gone.await.is_err());
    let again = world.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(again.association.key.unwrap().as_str(), KEY);
    assert_eq!(world.aws.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_aws_is_an_answer() {
    let world = world();
    let answer = AwsAnswer { code: "AccessDeniedException".into(), ..AwsAnswer::default() };
    world.aws.answer(UpstreamError::Refused { refusal: Refusal::RoleLacksLogs, answer });
    let first = world.associate(ALL, with_id("/app/web")).await.unwrap_err();
    let again = world.associate(ALL, with_id("/app/web")).await.unwrap_err();
    assert_eq!((first.reason(), again.reason()), (Reason::RoleLacksLogsPermission, first.reason()));
    let Error::Repeated { error, .. } = &again else { panic!("{again:?}") };
    assert_eq!(error.to_string(), first.to_string());
    assert_eq!(world.aws.seen().len(), 1);
    let new = AskAssociate { request_id: Some(Uuid::from_u128(2)), ..ask("/app/web") };
    world.associate(ALL, new).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_aws_did_not_take_up_may_be_tried_again() {
    let world = world();
    world.aws.answer(UpstreamError::RoleNotAssumable { answer: AwsAnswer::default() });
    let first = world.associate(ALL, with_id("/app/web")).await.unwrap_err();
    assert_eq!(first.reason(), Reason::RoleNotAssumable);
    let again = world.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(world.associate(ALL, with_id("/app/web")).await.unwrap(), again);
    assert_eq!(world.aws.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_read_back_before_it_is_sent_again() {
    for (now_in_force, sent) in [(Some(KEY), 1), (Some(OTHER_KEY), 2)] {
        let mut groups = groups(&["/app/web"]);
        groups[0].key = now_in_force.map(|key| key.parse().unwrap());
        let world = world_with(FakePolicy::default(), FakePace::default(), groups);
        world.aws.dawdle(Duration::from_mins(1));
        let first = world.associate(ALL, with_id("/app/web")).await.unwrap_err();
        assert_eq!(first.reason(), Reason::OutcomeUnknown);
        world.aws.dawdle(Duration::ZERO);

        let again = world.associate(ALL, with_id("/app/web")).await.unwrap();
        assert_eq!(again.association.key.as_ref().unwrap().as_str(), KEY);
        assert_eq!(world.aws.seen().len(), sent, "{now_in_force:?}");
        assert_eq!(world.associate(ALL, with_id("/app/web")).await.unwrap(), again);
        assert_eq!(world.aws.seen().len(), sent);
        let settled = world.kinds().iter().filter(|(kind, _)| matches!(kind, Kind::Settled(_))).count();
        assert_eq!(settled, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_a_crash_cut_off_is_settled_once_it_cannot_be_under_way() {
    let mut groups = groups(&["/app/web"]);
    groups[0].key = Some(KEY.parse().unwrap());
    let world = world_with(FakePolicy::default(), FakePace::default(), groups);
    // The outcome never gets into the log.
    world.audit.hang_after(1);
    world.associate(ALL, with_id("/app/web")).await.unwrap_err();
    world.audit.hang_after(100);
    let busy = within(&world, Duration::from_secs(2), with_id("/app/web")).await.unwrap_err();
    assert_eq!(busy.reason(), Reason::ConflictingChange);
    world.clock.advance(Duration::from_mins(1));
    let again = world.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(again.warnings[0].code, "OUTCOME_READ_BACK");
    assert_eq!(world.aws.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_repeated_only_to_who_may_make_the_change() {
    let world = world();
    world.associate(ALL, with_id("/app/web")).await.unwrap();
    let error = world.associate(&["logkey:read"], with_id("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::ScopeMissing);
}

#[tokio::test(start_paused = true)]
async fn validating_takes_no_id() {
    let world = world();
    let ask = AskAssociate { validate_only: true, ..with_id("/app/web") };
    world.associate(ALL, ask).await.unwrap();
    world.associate(ALL, with_id("/app/web")).await.unwrap();
    assert_eq!(world.aws.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_its_record_a_request_with_an_id_is_not_sent() {
    let world = world();
    world.audit.history.fail(true);
    let error = world.associate(ALL, with_id("/app/web")).await.unwrap_err();
    assert!(matches!(error, Error::RecordUnavailable(_)), "{error:?}");
    assert_eq!(world.aws.seen(), []);
}
