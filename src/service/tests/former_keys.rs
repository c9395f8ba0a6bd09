//! Former keys: found before they are forgotten, and named while they matter.

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
async fn a_key_that_was_set_elsewhere_is_seen_before_it_is_replaced() {
    let env = with_key(OTHER_KEY, Some(Duration::from_hours(24)));
    let changed = env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(changed.association.previous_key.unwrap().as_str(), OTHER_KEY);
    let expected = ["KEY_REPLACED", "FORMER_KEY_STILL_PROTECTS_DATA", "QUERY_RESULTS_NOT_COVERED"];
    assert_eq!(codes(&changed.warnings), expected);
    let until = changed.association.accepted.unwrap().plus(Duration::from_mins(5 + 24 * 60));
    assert_eq!(changed.association.former[0].protection, Protection::Until(until));
    assert!(changed.warnings[1].message.contains(&until.to_string()), "{:?}", changed.warnings);
    // It is kept together with the intent: after the change, nobody can read it from AWS.
    let observation = env.audit.entries()[0].observation.clone().unwrap();
    assert_eq!(observation.key.unwrap().as_str(), OTHER_KEY);
}

#[tokio::test(start_paused = true)]
async fn what_was_just_seen_is_not_looked_at_again() {
    let env = with_key(OTHER_KEY, None);
    let looks = |env: &TestEnv| env.limiter.used().len() - env.aws.calls().len();
    env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(looks(&env), 1);
    env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(looks(&env), 1);
    env.clock.advance(Duration::from_hours(1));
    env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(looks(&env), 2);
}

#[tokio::test(start_paused = true)]
async fn every_former_key_is_named_and_one_without_an_end_as_such() {
    let env = with_key(OTHER_KEY, None);
    let to = |key: &str| AssociateRequest { key: key.parse().unwrap(), ..request("/app/web") };
    env.associate(ALL, to(THIRD_KEY)).await.unwrap();
    env.clock.advance(Duration::from_mins(1));
    let changed = env.associate(ALL, request("/app/web")).await.unwrap();
    let former: Vec<&str> = changed.association.former.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(former, [THIRD_KEY, OTHER_KEY]);
    let forever = changed.warnings.iter().filter(|it| it.message.contains("for ever")).count();
    assert_eq!(forever, 2, "{:?}", changed.warnings);
}

#[tokio::test(start_paused = true)]
async fn a_former_key_that_is_about_to_go_is_told_of() {
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
async fn a_key_that_is_in_danger_is_told_of_where_it_is_read() {
    let env = with_key(KEY, None);
    assert_eq!(codes(&warnings(&get(&env).await)), [""; 0]);
    env.aws.set_keys(KeyState::PendingDeletion);
    let read = get(&env).await;
    assert_eq!(codes(&warnings(&read)), ["KEY_PENDING_DELETION"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_settles_for_five_minutes() {
    let env = with_key(KEY, None);
    env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(get(&env).await.state, AssociationState::Settling);
    env.clock.advance(Duration::from_secs(299));
    assert_eq!(get(&env).await.state, AssociationState::Settling);
    env.clock.advance(Duration::from_secs(1));
    let read = get(&env).await;
    assert_eq!((read.state, read.accepted.is_some()), (AssociationState::InForce, true));
}

#[tokio::test(start_paused = true)]
async fn query_results_that_have_a_key_are_not_warned_about() {
    let env = env();
    let results = UnresolvedResource { target: Target::QueryResults, ..on("x") };
    env.associate(ALL, AssociateRequest { resource: results, ..request("x") }).await.unwrap();
    let changed = env.associate(ALL, request("/app/web")).await.unwrap();
    assert_eq!(codes(&changed.warnings), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_former_key_that_nobody_could_look_at_is_told_as_not_known() {
    let env = env();
    let changed = env.associate(ALL, request("/app/none")).await.unwrap();
    assert!(codes(&changed.warnings).contains(&"FORMER_KEY_NOT_KNOWN"), "{:?}", changed.warnings);
}

#[tokio::test(start_paused = true)]
async fn reads_do_not_wait_for_the_store_and_what_they_saw_is_kept_once() {
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
