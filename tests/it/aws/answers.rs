//! Changes, and what becomes of them.

use logkey::{
    ports::aws::Refusal,
    sandbox::fault::{Effect, Fault},
};

use super::*;

#[tokio::test]
async fn a_key_is_set_and_taken_away() {
    let world = World::new().await;
    let at_aws = |name: &str| world.running.sandbox().log_group_key(ACCOUNT, REGION, name);
    for name in [GROUP, "/payments/api#2"] {
        world.associate(group(name), "good").await.result.unwrap();
        assert_eq!(at_aws(name).as_deref(), Some(key_arn("good").as_str()));
        world.disassociate(group(name)).await.result.unwrap();
        assert_eq!(at_aws(name), None);
    }
    let [first, ..] = &world.calls("AssociateKmsKey")[..] else { panic!() };
    assert_eq!(first.params["logGroupName"], GROUP);
    assert!(!first.params.contains_key("resourceIdentifier"));
}

#[tokio::test]
async fn query_results_go_by_their_arn() {
    let world = World::new().await;
    world.associate(Target::QueryResults, "good").await.result.unwrap();
    let [first] = &world.calls("AssociateKmsKey")[..] else { panic!() };
    assert_eq!(first.params["resourceIdentifier"], format!("arn:aws:logs:{REGION}:{ACCOUNT}:query-result:*"));
    assert!(!first.params.contains_key("logGroupName"));
    world.disassociate(Target::QueryResults).await.result.unwrap();
}

#[tokio::test]
async fn what_aws_refuses_is_told_by_its_meaning_and_never_repeated() {
    let world = World::new().await;
    for (name, key, meaning) in
        [(GROUP, "closed", Refusal::KeyMissingOrNotAllowed), ("/no/such", "good", Refusal::LogGroupNotFound)]
    {
        world.running.sandbox().clear_journal();
        let error = failure(world.associate(group(name), key).await);
        let UpstreamError::Refused { refusal, answer } = error else { panic!("{error:?}") };
        assert_eq!(refusal, meaning, "{name} {key}: {answer:?}");
        assert!(answer.request_id.is_some());
        assert_eq!(world.calls("AssociateKmsKey").len(), 1);
    }
}

#[tokio::test]
async fn a_fault_of_one_call_is_told_by_its_kind_and_not_repeated() {
    let error = |code: &str, status| Effect::Error { code: code.into(), message: None, status: Some(status) };
    for (effect, kind) in [
        (Effect::Throttle, "throttled by AWS"),
        (error("OperationAbortedException", 400), "a conflicting operation is in progress"),
        (error("ServiceUnavailableException", 500), "AWS answered with a fault"),
        (error("InternalFailure", 500), "AWS answered with a fault"),
        (Effect::Reset, "the call was sent and no answer came"),
    ] {
        let world = World::new().await;
        world.running.sandbox().fault(Fault::on("AssociateKmsKey", effect.clone()));
        let error = failure(world.associate(group(GROUP), "good").await);
        assert_eq!(error.to_string(), kind, "{effect:?}");
        assert_eq!(world.calls("AssociateKmsKey").len(), 1, "{effect:?}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_leaves_the_outcome_open() {
    let short = |config| Config {
        timeouts: Timeouts { attempt: Duration::from_millis(300), ..Timeouts::default() },
        ..config
    };
    for effect in [Effect::Hang, Effect::Drip { bytes: 1, every_ms: 100 }] {
        let world = World::of(one_account(), short).await;
        world.running.sandbox().fault(Fault::on("AssociateKmsKey", effect.clone()).after());
        let answered = world.associate(group(GROUP), "closed").await;
        assert!(answered.via.session_name.is_some());
        let error = failure(answered);
        assert!(matches!(error, UpstreamError::Unanswered(_)), "{effect:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_in_time_is_told_before_an_attempt_would_be_over() {
    // Takes connections, and says nothing to whoever wants TLS.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", silent.local_addr().unwrap());
    let short = |config| Config {
        endpoints: Endpoints::at(endpoint.as_str()),
        timeouts: Timeouts {
            connect: Duration::from_millis(300),
            attempt: Duration::from_mins(1),
            assume: Duration::from_mins(1),
        },
        ..config
    };
    let world = World::of(one_account(), short).await;
    let began = Instant::now();
    let error = failure(world.associate(group(GROUP), "good").await);
    assert!(matches!(error, UpstreamError::NotSent(_)), "{error:?}");
    // The calls' own deadline is later.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn past_the_deadline_nothing_is_sent() {
    let world = World::new().await;
    world.associate(group(GROUP), "good").await.result.unwrap();
    world.running.sandbox().clear_journal();
    let resource = Resource { place: place(), target: group(GROUP) };
    let permit = world.permit(DisassociateKmsKey { resource, reason: None });
    let error = failure(world.aws.disassociate(&permit, Instant::now()).await);
    assert!(matches!(error, UpstreamError::NotSent(_)), "{error:?}");
    assert_eq!(world.running.sandbox().journal().len(), 0);
}
