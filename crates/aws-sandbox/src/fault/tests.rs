use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    active::{Faults, MAX_FAULTS},
    plan::ResponseMutation,
    spec::{Effect, Fault, RequestAttrs},
};
use crate::service::Service;

fn attrs<'a>(operation: &'a str, account: &'a str, params: &'a Map<String, Value>) -> RequestAttrs<'a> {
    RequestAttrs { service: Service::Logs, operation, account, region: "eu-west-1", role: "R", params }
}

fn is_affected(faults: &Faults, operation: &str, account: &str) -> bool {
    !faults.plan(&attrs(operation, account, &Map::new())).ids.is_empty()
}

#[test]
fn a_fault_skips_calls_first_and_then_affects_a_limited_number() {
    let faults = Faults::default();
    faults.add(Fault { skip: 2, ..Fault::on("A", Effect::Throttle).times(1) });
    let fired: Vec<bool> = (0..5).map(|_| is_affected(&faults, "A", "1")).collect();
    assert_eq!(fired, [false, false, true, false, false]);
    let [active] = faults.list().try_into().unwrap();
    assert_eq!((active.matches_seen, active.affected), (5, 1));
}

#[test]
fn a_fault_affects_only_calls_that_match_every_selector() {
    let faults = Faults::default();
    let read = |value: Value| serde_json::from_value::<Fault>(value).unwrap();
    faults.add(read(json!({
        "service": "logs", "operation": "A", "account": "1", "region": "eu-west-1", "role": "R",
        "parameter": "/a", "effect": "hang",
    })));
    let params = |value: Value| value.as_object().unwrap().clone();
    let (matching, other) =
        (params(json!({ "logGroupName": "/a" })), params(json!({ "logGroupName": "/a/b" })));
    let affects = |attrs: &RequestAttrs<'_>| !faults.plan(attrs).ids.is_empty();
    let good = attrs("A", "1", &matching);
    assert!(affects(&good));
    assert!(!affects(&attrs("B", "1", &matching)));
    assert!(!affects(&attrs("A", "2", &matching)));
    assert!(!affects(&attrs("A", "1", &other)));
    assert!(!affects(&RequestAttrs { region: "us-east-1", ..good }));
    assert!(!affects(&RequestAttrs { role: "S", ..good }));
    assert!(!affects(&RequestAttrs { service: Service::Kms, ..good }));
}

#[test]
fn delays_add_up_and_only_the_first_other_effect_applies() {
    let faults = Faults::default();
    let delay = |ms| Effect::Latency { ms, jitter_ms: 0 };
    for effect in [delay(5), Effect::Reset, delay(7), Effect::Hang, Effect::ExpiredCredentials] {
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
fn a_percentage_affects_some_calls_and_not_all() {
    let faults = Faults::default();
    faults.add(Fault { percent: Some(50), ..Fault::on("A", Effect::Throttle) });
    let count = (0..1_000).filter(|_| is_affected(&faults, "A", "1")).count();
    assert!((300..700).contains(&count), "{count}");
}

#[test]
fn one_or_all_faults_can_be_removed_and_their_number_is_bounded() {
    let faults = Faults::default();
    let first = faults.add(Fault::on("A", Effect::Throttle));
    faults.add(Fault::on("B", Effect::Throttle));
    faults.remove(first);
    assert!(!is_affected(&faults, "A", "1") && is_affected(&faults, "B", "1"));
    faults.remove(None);
    assert!(!is_affected(&faults, "B", "1"));
    let added = (0..=MAX_FAULTS).filter_map(|_| faults.add(Fault::on("A", Effect::Throttle)));
    assert_eq!(added.count(), MAX_FAULTS);
}
