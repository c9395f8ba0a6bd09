//! Preconditions, dry runs and the lock of a resource: what happens before a change is sent.

use super::*;
use crate::{domain::key::KeyState, domain::request::ExpectedKey};

const OPEN: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root","Service":"logs.eu-west-1.amazonaws.com"},"Action":"kms:*","Resource":"*"}]}"#;

fn with_key(key: Option<&str>) -> TestEnv {
    let mut groups = groups(&["/app/web"]);
    groups[0].key = key.map(|key| key.parse().unwrap());
    env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups)
}

fn expecting(key: Option<&str>) -> AssociateRequest {
    let expected = match key {
        None => ExpectedKey::Nothing,
        Some(key) => ExpectedKey::Key(key.parse().unwrap()),
    };
    AssociateRequest { expected: Some(expected), ..request("/app/web") }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_made_only_if_the_current_key_is_the_expected_one() {
    let id = OTHER_KEY.rsplit('/').next().unwrap();
    for (current, expected, is_sent) in [
        (None, None, true),
        (Some(OTHER_KEY), Some(OTHER_KEY), true),
        (Some(OTHER_KEY), Some(id), true),
        (Some(OTHER_KEY), None, false),
        (Some(OTHER_KEY), Some(KEY), false),
        (Some(OTHER_KEY), Some("alias/gone"), false),
        (None, Some(KEY), false),
    ] {
        let env = with_key(current);
        let result = env.associate(ALL, expecting(expected)).await;
        assert_eq!(env.aws.calls().len(), usize::from(is_sent), "{current:?} {expected:?}");
        match result {
            Ok(changed) => {
                assert_eq!(changed.association.previous_key, current.map(|key| key.parse().unwrap()));
            }
            Err(error) => {
                assert_eq!(error.reason(), Reason::ExpectedKeyMismatch);
                assert_eq!(env.kinds(), [], "no intent");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing_and_names_the_checks_that_were_not_made() {
    let env = with_key(Some(OTHER_KEY));
    env.aws.set_key_policies(OPEN);
    let request = AssociateRequest { validate_only: true, ..request("/app/web") };
    let changed = env.associate(ALL, request).await.unwrap();
    assert_eq!(env.aws.calls(), []);
    assert_eq!(env.kinds(), []);
    assert_eq!(changed.event, None);
    let codes: Vec<&str> = changed.warnings.iter().map(|warning| &*warning.code).collect();
    assert_eq!(codes[..2], ["VALIDATED_ONLY", "NOT_CHECKED"]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_fails_like_the_change_would() {
    let env = env();
    env.aws.set_keys(KeyState::PendingDeletion);
    let request = |group: &str| AssociateRequest { validate_only: true, ..request(group) };
    let error = env.associate(ALL, request("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::KeyPendingDeletion);
    let error = env.associate(ALL, request("/app/none")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::LogGroupNotFound);
    let error = env.associate(&["logkey:read"], request("/app/web")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::ScopeMissing);
    assert_eq!(env.aws.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_of_a_disassociation_changes_nothing() {
    let env = with_key(Some(OTHER_KEY));
    let request = DisassociateRequest {
        resource: on("/app/web"),
        reason: None,
        expected: Some(ExpectedKey::Key(OTHER_KEY.parse().unwrap())),
        validate_only: true,
        request_id: None,
    };
    let call = call(Action::DisassociateKmsKey, TIMEOUT);
    let changed = disassociate(env.cx(call, principal("acme", ALL)), request).await.unwrap();
    assert_eq!(changed.association.previous_key, Some(OTHER_KEY.parse().unwrap()));
    assert_eq!(env.aws.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_removed_only_if_it_is_the_expected_one() {
    for (expected, is_sent) in [(OTHER_KEY, true), (KEY, false)] {
        let env = with_key(Some(OTHER_KEY));
        let request = DisassociateRequest {
            resource: on("/app/web"),
            reason: None,
            expected: Some(ExpectedKey::Key(expected.parse().unwrap())),
            validate_only: false,
            request_id: None,
        };
        let call = call(Action::DisassociateKmsKey, TIMEOUT);
        let done = disassociate(env.cx(call, principal("acme", ALL)), request).await;
        assert_eq!(done.as_ref().err().map(Error::reason), (!is_sent).then_some(Reason::ExpectedKeyMismatch));
        assert_eq!(env.aws.calls().len(), usize::from(is_sent), "{expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn changes_of_one_resource_run_one_by_one_and_others_do_not_wait() {
    let env =
        env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups(&["/app/web", "/app/api"]));
    env.aws.delay(Duration::from_secs(2));
    let start = tokio::time::Instant::now();
    let (one, two, other) = tokio::join!(
        env.associate(ALL, request("/app/web")),
        env.associate(ALL, request("/app/web")),
        async {
            env.associate(ALL, request("/app/api")).await.unwrap();
            start.elapsed()
        },
    );
    assert!(one.is_ok() && two.is_ok());
    assert_eq!((start.elapsed().as_secs(), other.as_secs()), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_cannot_lock_its_resource_in_time_sends_nothing() {
    let env = env();
    env.aws.delay(Duration::from_secs(4));
    let late = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let call = call(Action::AssociateKmsKey, Duration::from_secs(1));
        associate(env.cx(call, principal("acme", ALL)), request("/app/web")).await
    };
    let (first, late) = tokio::join!(env.associate(ALL, request("/app/web")), late);
    assert!(first.is_ok());
    assert_eq!(late.unwrap_err().reason(), Reason::ConflictingChange);
    assert_eq!(env.aws.calls().len(), 1);
}
