//! Encryption rules: the rules, the schedule of their evaluation, and the repairs.

use std::time::Duration;

use logkey::{
    domain::{
        association::{Location, Resource, Target},
        fleet::{
            ConfiguredRule, Creator, EncryptionRule, KeyChoice, RuleDefinition, RuleEvaluation, RuleId,
            RuleMode, RuleOrigin, RuleState, RuleStatus, Selection,
        },
        tenant::TenantId,
    },
    ports::rules::{EvaluatedRule, EvaluatedState, NewRule, RuleCreation, RuleFilter, RuleKey, RuleRequest},
    store::Store,
    testing,
};
use uuid::Uuid;

use super::{Backend, at};

const LEASE: Duration = Duration::from_mins(1);

fn definition(priority: i32) -> RuleDefinition {
    RuleDefinition {
        display_name: "a rule".into(),
        selection: Selection { log_groups: vec!["/app/*".parse().unwrap()], ..Selection::default() },
        key: KeyChoice { key: Some("alias/logs".parse().unwrap()), overrides: Vec::new() },
        mode: RuleMode::Enforce,
        priority,
        exemptions: Vec::new(),
        max_changes: 7,
    }
}

fn rule(tenant: &str, priority: i32) -> EncryptionRule {
    EncryptionRule {
        id: RuleId::new_v7(),
        definition: definition(priority),
        origin: RuleOrigin::Api,
        creator: Creator::from(&testing::principal(tenant, &["logkey:bulk"])),
        created: Some(at(100)),
        updated: Some(at(100)),
        status: RuleStatus::default(),
    }
}

fn tenant(id: &str) -> TenantId {
    id.parse().unwrap()
}

async fn create(store: &Store, rule: &EncryptionRule) -> RuleCreation {
    let new = NewRule { rule: rule.clone(), request: None, max_rules: 3 };
    store.rules.create(&new).await.unwrap()
}

async fn find(store: &Store, rule: &EncryptionRule) -> Option<EncryptionRule> {
    store.rules.find(Some(rule.tenant()), &rule.id).await.unwrap()
}

fn evaluation(groups: u64) -> RuleEvaluation {
    RuleEvaluation { started: Some(at(200)), ended: Some(at(201)), groups, ..RuleEvaluation::default() }
}

pub(super) async fn a_rule_is_changed_only_in_the_version_that_was_read(backend: Backend) {
    let store = backend.open().await;
    let first = rule("a", 1);
    assert_eq!(create(&store, &first).await, RuleCreation::Created);
    assert_eq!(find(&store, &first).await.as_ref(), Some(&first));
    assert_eq!(store.rules.find(None, &first.id).await.unwrap().as_ref(), Some(&first));
    assert_eq!(store.rules.find(Some(&tenant("b")), &first.id).await.unwrap(), None);

    let status = RuleStatus { state: RuleState::Disabled, version: 2, ..first.status.clone() };
    let next = EncryptionRule { definition: definition(9), updated: Some(at(300)), status, ..first.clone() };
    assert!(store.rules.update(&next).await.unwrap());
    assert!(!store.rules.update(&next).await.unwrap(), "the version is no longer the same");
    assert_eq!(find(&store, &first).await.as_ref(), Some(&next));
    assert!(!store.rules.delete(&first).await.unwrap(), "an old version is not deleted");
    assert!(store.rules.delete(&next).await.unwrap());
    assert_eq!(find(&store, &first).await, None);
}

pub(super) async fn rules_are_listed_by_priority_and_id_in_pages(backend: Backend) {
    let store = backend.open().await;
    let all = [rule("a", 5), rule("b", -1), rule("a", 5), rule("a", 0)];
    for one in &all {
        create(&store, one).await;
    }
    let mut expected: Vec<RuleKey> = all.iter().map(RuleKey::from).collect();
    expected.sort();
    let mut listed = Vec::new();
    let mut filter = RuleFilter::default();
    while let [one] = &store.rules.list(&filter, 1).await.unwrap()[..] {
        listed.push(RuleKey::from(one));
        filter.after = listed.last().cloned();
    }
    assert_eq!(listed, expected);
    let of_b = RuleFilter { tenant: Some(tenant("b")), ..RuleFilter::default() };
    assert_eq!(store.rules.list(&of_b, 10).await.unwrap().len(), 1);
    let paused = RuleFilter { states: vec![RuleState::Paused], ..RuleFilter::default() };
    assert_eq!(store.rules.list(&paused, 10).await.unwrap(), []);
}

pub(super) async fn a_request_creates_one_rule_and_tenants_have_a_limit_of_rules(backend: Backend) {
    let store = backend.open().await;
    let with = |fingerprint: &str, since| NewRule {
        rule: rule("a", 0),
        request: Some(RuleRequest {
            id: Uuid::from_u128(1),
            fingerprint: fingerprint.into(),
            since: at(since),
        }),
        max_rules: 2,
    };
    let first = with("one", 0);
    assert_eq!(store.rules.create(&first).await.unwrap(), RuleCreation::Created);
    assert_eq!(
        store.rules.create(&with("one", 0)).await.unwrap(),
        RuleCreation::Exists(first.rule.id.clone())
    );
    assert_eq!(store.rules.create(&with("two", 0)).await.unwrap(), RuleCreation::RequestIdReused);
    assert_eq!(store.rules.create(&with("two", 101)).await.unwrap(), RuleCreation::Created);
    assert_eq!(store.rules.create(&with("three", 101)).await.unwrap(), RuleCreation::RequestIdReused);
    let third = NewRule { rule: rule("a", 0), request: None, max_rules: 2 };
    assert_eq!(store.rules.create(&third).await.unwrap(), RuleCreation::TooMany);
    assert_eq!(create(&store, &rule("b", 0)).await, RuleCreation::Created);
}

pub(super) async fn an_evaluation_pauses_a_rule_only_in_the_evaluated_version(backend: Backend) {
    let store = backend.open().await;
    let first = rule("a", 0);
    create(&store, &first).await;
    let paused = EvaluatedRule {
        rule: first.clone(),
        evaluation: evaluation(5),
        state: Some(EvaluatedState::Paused("too many".into())),
    };
    store.rules.record_evaluation(&paused).await.unwrap();
    let read = find(&store, &first).await.unwrap();
    assert_eq!((read.status.state, read.status.version), (RuleState::Paused, 2));
    assert_eq!(read.status.pause_reason.as_deref(), Some("too many"));
    assert_eq!(read.status.evaluation, Some(evaluation(5)));

    let stale = EvaluatedRule { evaluation: evaluation(6), state: Some(EvaluatedState::Active), ..paused };
    store.rules.record_evaluation(&stale).await.unwrap();
    let read = find(&store, &first).await.unwrap();
    assert_eq!(read.status.state, RuleState::Paused, "the rule was changed since the evaluation began");
    assert_eq!(read.status.evaluation, Some(evaluation(6)));
    let current =
        EvaluatedRule { rule: read, evaluation: evaluation(7), state: Some(EvaluatedState::Active) };
    store.rules.record_evaluation(&current).await.unwrap();
    let read = find(&store, &first).await.unwrap();
    assert_eq!((read.status.state, read.status.version), (RuleState::Active, 3));
}

pub(super) async fn a_rule_of_the_configuration_keeps_its_status_until_it_changes(backend: Backend) {
    let store = backend.open().await;
    let declared =
        |priority| ConfiguredRule { id: "baseline".parse().unwrap(), definition: definition(priority) };
    let first = EncryptionRule::configured(&tenant("a"), &declared(1));
    let state = Some(EvaluatedState::Paused("too many".into()));
    let evaluated = EvaluatedRule { rule: first.clone(), evaluation: evaluation(1), state };
    store.rules.record_evaluation(&evaluated).await.unwrap();
    let [stored] = store.rules.configured(&tenant("a")).await.unwrap().try_into().unwrap();
    assert_eq!((stored.status.state, stored.status.version), (RuleState::Paused, 2));
    assert_eq!((&stored.definition, stored.origin), (&first.definition, RuleOrigin::Configuration));
    assert_eq!(find(&store, &first).await, None, "it is not a rule of a caller");

    let mut changed = EncryptionRule::configured(&tenant("a"), &declared(2));
    changed.status.version = 3;
    let evaluated = EvaluatedRule { rule: changed, evaluation: evaluation(2), state: None };
    store.rules.record_evaluation(&evaluated).await.unwrap();
    let [stored] = store.rules.configured(&tenant("a")).await.unwrap().try_into().unwrap();
    assert_eq!((stored.status.state, stored.status.version), (RuleState::Active, 3));
    store.rules.retain_configured(&tenant("a"), std::slice::from_ref(&stored.id)).await.unwrap();
    assert_eq!(store.rules.configured(&tenant("a")).await.unwrap().len(), 1);
    store.rules.retain_configured(&tenant("a"), &[]).await.unwrap();
    assert_eq!(store.rules.configured(&tenant("a")).await.unwrap(), []);
}

pub(super) async fn one_worker_evaluates_a_tenant_and_changes_meanwhile_are_not_lost(backend: Backend) {
    let store = backend.open().await;
    let (schedule, a) = (&store.rule_schedule, tenant("a"));
    assert_eq!(schedule.next(&a).await.unwrap(), None);
    schedule.make_due(&a, at(100)).await.unwrap();
    schedule.make_due(&a, at(200)).await.unwrap();
    assert_eq!(schedule.next(&a).await.unwrap(), Some(at(100)));
    assert_eq!(schedule.due(at(99), 10).await.unwrap(), []);
    assert_eq!(schedule.due(at(100), 10).await.unwrap(), std::slice::from_ref(&a));

    let claim = schedule.claim(&a, LEASE).await.unwrap().unwrap();
    assert_eq!(schedule.claim(&a, LEASE).await.unwrap(), None, "a tenant is claimed once");
    assert_eq!(schedule.due(at(100), 10).await.unwrap(), []);
    assert!(schedule.confirm(&claim, LEASE).await.unwrap());
    schedule.release(&claim, Some(at(500))).await.unwrap();
    assert!(!schedule.confirm(&claim, LEASE).await.unwrap());
    assert_eq!(schedule.next(&a).await.unwrap(), Some(at(500)));

    let claim = schedule.claim(&a, LEASE).await.unwrap().unwrap();
    schedule.make_due(&a, at(0)).await.unwrap();
    schedule.release(&claim, Some(at(900))).await.unwrap();
    assert_eq!(schedule.next(&a).await.unwrap(), Some(at(0)), "a rule changed during the evaluation");
    let claim = schedule.claim(&a, LEASE).await.unwrap().unwrap();
    schedule.release(&claim, None).await.unwrap();
    assert_eq!(schedule.next(&a).await.unwrap(), None);
    assert_eq!(schedule.due(at(1_000), 10).await.unwrap(), []);

    let crashed = schedule.claim(&a, Duration::ZERO).await.unwrap().unwrap();
    tokio::task::yield_now().await;
    let next = schedule.claim(&a, LEASE).await.unwrap().unwrap();
    schedule.release(&crashed, Some(at(1))).await.unwrap();
    assert!(schedule.confirm(&next, LEASE).await.unwrap(), "an ended claim releases nothing");
}

pub(super) async fn repairs_are_counted_by_tenant_and_resource_and_forgotten(backend: Backend) {
    let store = backend.open().await;
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let resource = |target| Resource { location: location.clone(), target };
    let all = [
        resource(Target::LogGroup("/app/a".parse().unwrap())),
        resource(Target::LogGroup("/app/b".parse().unwrap())),
        resource(Target::QueryResults),
    ];
    let (a, b) = (tenant("a"), tenant("b"));
    for (time, some) in [(100, &all[..1]), (200, &all[..2]), (200, &all[..1]), (300, &all[2..])] {
        store.repairs.record(&a, some, at(time), at(0)).await.unwrap();
    }
    let count = async |tenant: &TenantId, since| store.repairs.count(tenant, &all, at(since)).await.unwrap();
    assert_eq!(count(&a, 0).await, [2, 1, 1]);
    assert_eq!(count(&a, 200).await, [1, 1, 1]);
    assert_eq!(count(&b, 0).await, [0, 0, 0]);
    store.repairs.record(&b, &all[..1], at(400), at(250)).await.unwrap();
    assert_eq!(count(&a, 0).await, [0, 0, 1]);
    assert_eq!(store.repairs.count(&a, &[], at(0)).await.unwrap(), Vec::<u32>::new());
}
