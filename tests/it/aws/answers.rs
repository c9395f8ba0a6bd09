//! Changes, and the meaning of AWS's responses to them.

use logkey::{
    ports::aws::Refusal,
    sandbox::fault::{Effect, Fault},
};

use super::*;

#[tokio::test]
async fn a_key_can_be_set_and_removed() {
    let env = TestEnv::new().await;
    let at_aws = |name: &str| env.running.sandbox().log_group_key(ACCOUNT, REGION, name);
    for name in [GROUP, "/payments/api#2"] {
        env.associate(group(name), "good").await.result.unwrap();
        assert_eq!(at_aws(name).as_deref(), Some(key_arn("good").as_str()));
        env.disassociate(group(name)).await.result.unwrap();
        assert_eq!(at_aws(name), None);
    }
    let [first, ..] = &env.calls("AssociateKmsKey")[..] else { panic!() };
    assert_eq!(first.params["logGroupName"], GROUP);
    assert!(!first.params.contains_key("resourceIdentifier"));
}

#[tokio::test]
async fn query_results_are_identified_by_their_arn() {
    let env = TestEnv::new().await;
    env.associate(Target::QueryResults, "good").await.result.unwrap();
    let [first] = &env.calls("AssociateKmsKey")[..] else { panic!() };
    assert_eq!(first.params["resourceIdentifier"], format!("arn:aws:logs:{REGION}:{ACCOUNT}:query-result:*"));
    assert!(!first.params.contains_key("logGroupName"));
    env.disassociate(Target::QueryResults).await.result.unwrap();
}

#[tokio::test]
async fn a_refusal_by_aws_is_classified_and_never_retried() {
    let env = TestEnv::new().await;
    for (name, key, meaning) in
        [(GROUP, "closed", Refusal::KeyMissingOrNotAllowed), ("/no/such", "good", Refusal::LogGroupNotFound)]
    {
        env.running.sandbox().clear_journal();
        let error = failure(env.associate(group(name), key).await);
        let UpstreamError::Refused { refusal, answer } = error else { panic!("{error:?}") };
        assert_eq!(refusal, meaning, "{name} {key}: {answer:?}");
        assert!(answer.request_id.is_some());
        assert_eq!(env.calls("AssociateKmsKey").len(), 1);
    }
}

#[tokio::test]
async fn a_failed_change_is_classified_and_not_retried() {
    let error = |code: &str, status| Effect::Error { code: code.into(), message: None, status: Some(status) };
    for (effect, kind) in [
        (Effect::Throttle, "throttled by AWS"),
        (error("OperationAbortedException", 400), "a conflicting operation is in progress"),
        (error("ServiceUnavailableException", 500), "AWS responded with a server error"),
        (error("InternalFailure", 500), "AWS responded with a server error"),
        (Effect::Reset, "the call was sent, but AWS did not respond"),
    ] {
        let env = TestEnv::new().await;
        env.running.sandbox().fault(Fault::on("AssociateKmsKey", effect.clone()));
        let error = failure(env.associate(group(GROUP), "good").await);
        assert_eq!(error.to_string(), kind, "{effect:?}");
        assert_eq!(env.calls("AssociateKmsKey").len(), 1, "{effect:?}");
    }
}

#[tokio::test]
async fn a_response_that_is_not_in_time_leaves_the_outcome_unknown() {
    let short = |config| Config {
        timeouts: Timeouts { attempt: Duration::from_millis(300), ..Timeouts::default() },
        ..config
    };
    for effect in [Effect::Hang, Effect::Drip { bytes: 1, every_ms: 100 }] {
        let env = TestEnv::of(one_account(), short).await;
        env.running.sandbox().fault(Fault::on("AssociateKmsKey", effect.clone()).after());
        let response = env.associate(group(GROUP), "closed").await;
        assert!(response.via.session_name.is_some());
        let error = failure(response);
        assert!(matches!(error, UpstreamError::Unanswered(_)), "{effect:?}: {error:?}");
    }
}

#[tokio::test]
async fn the_connect_timeout_ends_a_call_before_the_attempt_timeout() {
    // Accepts connections, but never answers a TLS handshake.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", silent.local_addr().unwrap());
    let short = |config| Config {
        endpoints: Endpoints::from_endpoints(endpoint.as_str()),
        timeouts: Timeouts {
            connect: Duration::from_millis(300),
            attempt: Duration::from_mins(1),
            assume: Duration::from_mins(1),
        },
        ..config
    };
    let env = TestEnv::of(one_account(), short).await;
    let started = Instant::now();
    let error = failure(env.associate(group(GROUP), "good").await);
    assert!(matches!(error, UpstreamError::NotSent(_)), "{error:?}");
    // The deadline of the call is later.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn nothing_is_sent_after_the_deadline() {
    let env = TestEnv::new().await;
    env.associate(group(GROUP), "good").await.result.unwrap();
    env.running.sandbox().clear_journal();
    let resource = Resource { location: location(), target: group(GROUP) };
    let command = env.authorized(DisassociateKmsKey { resource, reason: None });
    let error = failure(env.aws.disassociate(&command, Instant::now()).await);
    assert!(matches!(error, UpstreamError::NotSent(_)), "{error:?}");
    assert_eq!(env.running.sandbox().journal().len(), 0);
}
