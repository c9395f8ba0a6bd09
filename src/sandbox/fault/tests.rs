use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{active::MAX_FAULTS, *};
use crate::sandbox::wire::Service;

fn attrs<'a>(operation: &'a str, account: &'a str, params: &'a Map<String, Value>) -> RequestAttrs<'a> {
    RequestAttrs { service: Service::Logs, operation, account, region: "eu-west-1", role: "R", params }
}

fn met(faults: &Faults, operation: &str, account: &str) -> bool {
    !faults.plan(&attrs(operation, account, &Map::new())).ids.is_empty()
}

#[test]
fn a_fault_lets_pass_what_it_should_and_then_meets_what_it_should() {
    let faults = Faults::default();
    faults.add(Fault { skip: 2, ..Fault::on("A", Effect::Throttle).times(1) });
    let fired: Vec<bool> = (0..5).map(|_| met(&faults, "A", "1")).collect();
    assert_eq!(fired, [false, false, true, false, false]);
    let [active] = faults.list().try_into().unwrap();
    assert_eq!((active.matches_seen, active.met), (5, 1));
}

#[test]
fn a_fault_meets_only_calls_that_fit_in_every_respect() {
    let faults = Faults::default();
    let read = |value: Value| serde_json::from_value::<Fault>(value).unwrap();
    faults.add(read(json!({
        "service": "logs", "operation": "A", "account": "1", "region": "eu-west-1", "role": "R",
        "parameter": "/a", "effect": "hang",
    })));
    let params = |value: Value| value.as_object().unwrap().clone();
    let (fits, other) = (params(json!({ "logGroupName": "/a" })), params(json!({ "logGroupName": "/a/b" })));
    let meets = |attrs: &RequestAttrs<'_>| !faults.plan(attrs).ids.is_empty();
    let good = attrs("A", "1", &fits);
    assert!(meets(&good));
    assert!(!meets(&attrs("B", "1", &fits)));
    assert!(!meets(&attrs("A", "2", &fits)));
    assert!(!meets(&attrs("A", "1", &other)));
    assert!(!meets(&RequestAttrs { region: "us-east-1", ..good }));
    assert!(!meets(&RequestAttrs { role: "S", ..good }));
    assert!(!meets(&RequestAttrs { service: Service::Kms, ..good }));
}

#[test]
fn waits_add_up_and_of_other_effects_the_first_counts() {
    let faults = Faults::default();
    let wait = |ms| Effect::Latency { ms, jitter_ms: 0 };
    for effect in [wait(5), Effect::Reset, wait(7), Effect::Hang, Effect::ExpiredCredentials] {
        faults.add(Fault::on("A", effect));
    }
    faults.add(Fault::on("A", Effect::Garbage).after());
    let plan = faults.plan(&attrs("A", "1", &Map::new()));
    assert_eq!(plan.delay_before, Duration::from_millis(12));
    assert_eq!(plan.before, Some(Effect::Reset));
    assert_eq!(plan.after, Some(Effect::Garbage));
    assert_eq!(plan.mutation, ResponseMutation::ExpiredCredentials);
    assert_eq!(plan.ids, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn chance_meets_some_and_not_all() {
    let faults = Faults::default();
    faults.add(Fault { percent: Some(50), ..Fault::on("A", Effect::Throttle) });
    let count = (0..1_000).filter(|_| met(&faults, "A", "1")).count();
    assert!((300..700).contains(&count), "{count}");
}

#[test]
fn one_is_taken_back_or_all_and_there_is_a_bound() {
    let faults = Faults::default();
    let first = faults.add(Fault::on("A", Effect::Throttle));
    faults.add(Fault::on("B", Effect::Throttle));
    faults.remove(first);
    assert!(!met(&faults, "A", "1") && met(&faults, "B", "1"));
    faults.remove(None);
    assert!(!met(&faults, "B", "1"));
    let added = (0..=MAX_FAULTS).filter_map(|_| faults.add(Fault::on("A", Effect::Throttle)));
    assert_eq!(added.count(), MAX_FAULTS);
}
