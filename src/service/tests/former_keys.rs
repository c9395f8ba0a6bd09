//! Former keys: read before a change replaces them, and reported while they protect data.

use super::*;
use crate::domain::{history::Protection, key::KeyState};

const THIRD_KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/00000000-12ab-34cd-56ef-1234567890ab";

fn with_key(key: &str, retention: Option<Duration>) -> TestEnv {
    let mut groups = groups(&["/app/web"]);
    groups[0].key = Some(key.parse().unwrap());
    groups[0].retention = retention;
    env_with(FakePolicy::default(), FakeUpstreamLimiter::default(), groups)
}

fn codes(warnings: &[Warning]) -> Vec<&str> {
    warnings.iter().map(|warning| &*warning.code).collect()
}

async fn get(env: &TestEnv) -> KeyAssociation {
    let call = call(Action::GetKeyAssociation, TIMEOUT);
    super::super::get(env.cx(call, principal("acme", ALL)), on("/app/web")).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_key_that_another_tool_set_is_read_before_it_is_replaced() {
    let env = with_key(OTHER_KEY, Some(Duration::from_hours(24)));
    let changed = env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(changed.association.previous_key.unwrap().as_str(), OTHER_KEY);
    let expected = ["KEY_REPLACED", "FORMER_KEY_STILL_PROTECTS_DATA", "QUERY_RESULTS_NOT_COVERED"];
    assert_eq!(codes(&changed.warnings), expected);
    let until = changed.association.accepted.unwrap().plus(Duration::from_mins(5 + 24 * 60));
    assert_eq!(changed.association.former[0].protection, Protection::Until(until));
    assert!(changed.warnings[1].message.contains(&until.to_string()), "{:?}", changed.warnings);
    // The observation is stored with the intent, because AWS does not return the key after the change.
    let observation = env.audit.entries()[0].observation.clone().unwrap();
    assert_eq!(observation.key.unwrap().as_str(), OTHER_KEY);
}

#[tokio::test(start_paused = true)]
async fn a_recent_prior_state_is_not_read_again() {
    let env = with_key(OTHER_KEY, None);
    let reads = |env: &TestEnv| env.limiter.used().len() - env.aws.calls().len();
    env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(reads(&env), 1);
    env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(reads(&env), 1);
    // Facts get different times, although this clock stands still, so the record is a little younger.
    env.clock.advance(Duration::from_hours(1) + Duration::from_secs(1));
    env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(reads(&env), 2);
}

#[tokio::test(start_paused = true)]
async fn every_former_key_has_a_warning_and_protection_without_an_end_is_named() {
    let env = with_key(OTHER_KEY, None);
    let to = |key: &str| AssociateRequest { key: key.parse().unwrap(), ..request("/app/web") };
    env.associate(ALL, to(THIRD_KEY)).await.unwrap();
    env.clock.advance(Duration::from_mins(1));
    let changed = env.associate(ALL, request("/app/web")).await.unwrap();
    let former: Vec<&str> = changed.association.former.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(former, [THIRD_KEY, OTHER_KEY]);
    let forever = changed.warnings.iter().filter(|it| it.message.contains("indefinitely")).count();
    assert_eq!(forever, 2, "{:?}", changed.warnings);
}

#[tokio::test(start_paused = true)]
async fn a_former_key_at_risk_has_a_warning() {
    for (state, code) in [
        (KeyState::PendingDeletion, "FORMER_KEY_PENDING_DELETION"),
        (KeyState::Disabled, "FORMER_KEY_DISABLED"),
    ] {
        let env = with_key(OTHER_KEY, None);
        env.aws.set_keys(state);
        let changed = env.associate(ALL, request("/app/web")).await.unwrap();
        assert!(codes(&changed.warnings).contains(&code), "{:?}", changed.warnings);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_of_a_key_at_risk_has_a_warning() {
    let env = with_key(KEY, None);
    assert_eq!(codes(&warnings(&get(&env).await)), [""; 0]);
    env.aws.set_keys(KeyState::PendingDeletion);
    let read = get(&env).await;
    assert_eq!(codes(&warnings(&read)), ["KEY_PENDING_DELETION"]);
}

#[tokio::test(start_paused = true)]
async fn the_state_changes_five_minutes_after_a_change() {
    let env = with_key(KEY, None);
    env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(get(&env).await.state, AssociationState::Settling);
    env.clock.advance(Duration::from_secs(299));
    assert_eq!(get(&env).await.state, AssociationState::Settling);
    // Facts get different times, although this clock stands still, so the change is a little later.
    env.clock.advance(Duration::from_secs(2));
    let read = get(&env).await;
    assert_eq!((read.state, read.accepted.is_some()), (AssociationState::InForce, true));
}

#[tokio::test(start_paused = true)]
async fn query_results_with_a_key_have_no_warning() {
    let env = env();
    let results = UnresolvedResource { target: Target::QueryResults, ..on("x") };
    env.associate(ALL, AssociateRequest { resource: results, ..request("x") }).await.unwrap();
    let changed = env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(codes(&changed.warnings), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_prior_key_that_could_not_be_read_has_a_warning() {
    let env = env();
    let changed = env.associate(ALL, request("/app/none")).await.unwrap();
    assert!(codes(&changed.warnings).contains(&"FORMER_KEY_NOT_KNOWN"), "{:?}", changed.warnings);
}

#[tokio::test(start_paused = true)]
async fn reads_do_not_wait_for_the_store_and_their_observations_are_stored_once() {
    let env = with_key(OTHER_KEY, None);
    env.audit.history.fail(true);
    assert_eq!(get(&env).await.key.unwrap().as_str(), OTHER_KEY);
    env.state.flush_observations().await.unwrap_err();
    env.audit.history.fail(false);
    env.state.flush_observations().await.unwrap();
    let [record] =
        env.state.ports.history.records(&[get(&env).await.resource]).await.unwrap().try_into().unwrap();
    assert_eq!(record.key.unwrap().as_str(), OTHER_KEY);
}
