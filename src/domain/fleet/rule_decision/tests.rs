use proptest::prelude::*;

use super::*;
use crate::{
    domain::{
        fleet::{
            Creator, KeyChoice, RuleDefinition, RuleId, RuleMode, RuleOrigin, RuleState, RuleStatus,
            Selection,
        },
        reason::Reason,
    },
    testing,
};

fn rule(id: &str, mode: RuleMode, priority: i32) -> EncryptionRule {
    EncryptionRule {
        id: id.parse::<RuleId>().unwrap(),
        definition: RuleDefinition {
            display_name: "".into(),
            selection: Selection { log_groups: vec!["/app/*".parse().unwrap()], ..Selection::default() },
            key: KeyChoice { key: Some("alias/logs".parse().unwrap()), overrides: Vec::new() },
            mode,
            priority,
            exemptions: Vec::new(),
            max_changes: 100,
        },
        origin: RuleOrigin::Api,
        creator: Creator::from(&testing::principal("a", &[])),
        created: None,
        updated: None,
        status: RuleStatus::default(),
    }
}

fn exempting(rule: EncryptionRule, pattern: &str, expires: Option<i64>) -> EncryptionRule {
    let exemption = Exemption {
        pattern: pattern.parse().unwrap(),
        reason: "not sensitive".into(),
        expires: expires.map(Timestamp::from_secs),
    };
    let definition = RuleDefinition { exemptions: vec![exemption], ..rule.definition };
    EncryptionRule { definition, ..rule }
}

fn key(number: u8) -> KmsKeyArn {
    format!("arn:aws:kms:eu-west-1:111122223333:key/{number:08}").parse().unwrap()
}

fn located(rule: &EncryptionRule, number: u8) -> LocatedRule<'_> {
    LocatedRule { rule, key: RequiredKey::Resolved { arn: key(number), unhealthy: None } }
}

fn unresolved<'r>(rule: &'r EncryptionRule, requested: &str) -> LocatedRule<'r> {
    let failure = Failure::new(Reason::KeyNotFound, "there is no such key");
    let requested = Some(requested.parse().unwrap());
    LocatedRule { rule, key: RequiredKey::Unresolved { requested, failure } }
}

fn group(name: &str) -> Target {
    Target::LogGroup(name.parse().unwrap())
}

/// The ids of the rules that decide about `/app/a`: none, one, or those in conflict.
fn deciding_ids(rules: &[LocatedRule<'_>]) -> (bool, Vec<String>) {
    let target = group("/app/a");
    let ids = |rules: &[&LocatedRule<'_>]| rules.iter().map(|it| it.rule.id.to_string()).collect();
    match deciding(&selecting(rules, &target), &target, Timestamp::from_secs(0)) {
        Decision::NoRule => (false, Vec::new()),
        Decision::Rule(rule) => (false, ids(&[rule])),
        Decision::Conflict(rules) => (true, ids(&rules)),
    }
}

proptest! {
    #[test]
    fn the_decision_is_that_of_a_simple_model_and_does_not_depend_on_the_order(
        rules in prop::collection::vec((any::<bool>(), 0_i32..3, 0_u8..2), 0..6),
        rotation in 0_usize..6,
    ) {
        let all: Vec<_> = rules.iter().enumerate().map(|(n, (enforces, priority, _))| {
            let mode = if *enforces { RuleMode::Enforce } else { RuleMode::Report };
            rule(&format!("r{n}"), mode, *priority)
        }).collect();
        let mut located: Vec<_> =
            all.iter().zip(&rules).map(|(rule, (_, _, number))| located(rule, *number)).collect();
        let of_mode = |enforces| {
            rules.iter().enumerate().filter(move |(_, (mode, _, _))| *mode == enforces)
        };
        let lowest = of_mode(true).map(|(_, (_, priority, _))| *priority).min();
        let expected = if let Some(lowest) = lowest {
            let first: Vec<_> = of_mode(true).filter(|(_, (_, priority, _))| *priority == lowest).collect();
            let same = first.iter().all(|(_, (_, _, key))| *key == first[0].1.2);
            let ids: Vec<_> = first.iter().map(|(n, _)| format!("r{n}")).collect();
            if same { (false, vec![ids[0].clone()]) } else { (true, ids) }
        } else {
            let first = of_mode(false).min_by_key(|(n, (_, priority, _))| (*priority, *n));
            (false, first.map(|(n, _)| format!("r{n}")).into_iter().collect())
        };
        let turns = if located.is_empty() { 0 } else { rotation % located.len() };
        located.rotate_left(turns);
        prop_assert_eq!(deciding_ids(&located), expected);
    }
}

#[test]
fn a_reporting_rule_blocks_no_enforcing_rule() {
    let (report, enforce) = (rule("report", RuleMode::Report, -5), rule("enforce", RuleMode::Enforce, 5));
    let rules = [located(&report, 1), located(&enforce, 2)];
    assert_eq!(deciding_ids(&rules), (false, vec!["enforce".into()]));
}

#[test]
fn equal_rules_whose_keys_are_not_certainly_the_same_conflict() {
    let (one, two) = (rule("one", RuleMode::Enforce, 0), rule("two", RuleMode::Enforce, 0));
    assert!(deciding_ids(&[located(&one, 1), unresolved(&two, "alias/x")]).0);
    assert!(deciding_ids(&[unresolved(&one, "alias/x"), unresolved(&two, "alias/y")]).0);
    assert!(!deciding_ids(&[unresolved(&one, "alias/x"), unresolved(&two, "alias/x")]).0);
}

#[test]
fn an_exemption_covers_matching_names_until_it_expires() {
    let base = || rule("one", RuleMode::Enforce, 0);
    let now = Timestamp::from_secs(100);
    let covers = |expires, name: &str| {
        exempting(base(), "/app/tmp*", expires).definition.exemption(&group(name), now).is_some()
    };
    assert!(covers(None, "/app/tmp"));
    assert!(covers(Some(101), "/app/tmp/a"));
    assert!(!covers(Some(100), "/app/tmp"), "it ends at its time");
    assert!(!covers(None, "/app/web"));
    assert!(!base().definition.selects(&Target::QueryResults));
    let results = exempting(base(), "*", None);
    assert!(results.definition.exemption(&Target::QueryResults, now).is_none());
}

#[test]
fn a_deciding_rule_that_exempts_a_group_passes_it_to_no_other_rule() {
    let first = exempting(rule("first", RuleMode::Enforce, 0), "/app/a", None);
    let (same, later) = (rule("same", RuleMode::Enforce, 0), rule("later", RuleMode::Enforce, 1));
    let rules = [located(&later, 2), located(&same, 2), located(&first, 1)];
    assert_eq!(deciding_ids(&rules), (false, vec!["first".into()]));
}

#[test]
fn a_resource_is_classified_by_its_key_and_that_of_the_rule() {
    let plain = rule("one", RuleMode::Report, 0);
    let exempt = exempting(rule("one", RuleMode::Report, 0), "/app/a", None);
    let target = group("/app/a");
    let (wanted, other) = (key(1), key(2));
    let of = |rule: &LocatedRule<'_>, key: Option<&KmsKeyArn>, is_key_known| {
        let resource = ObservedResource { target: &target, key, is_key_known };
        classify(rule, resource, Timestamp::from_secs(0))
    };
    let usable = located(&plain, 1);
    assert_eq!(of(&usable, Some(&wanted), true), CoverageClass::Compliant);
    assert_eq!(of(&usable, Some(&other), true), CoverageClass::OtherKey);
    assert_eq!(of(&usable, None, true), CoverageClass::NoKey);
    assert_eq!(of(&usable, None, false), CoverageClass::Unknown);
    assert_eq!(of(&unresolved(&plain, "alias/x"), Some(&wanted), true), CoverageClass::Unknown);
    assert_eq!(of(&located(&exempt, 1), None, true), CoverageClass::Exempt);
    let disabled = Some(Failure::new(Reason::KeyDisabled, "it is disabled"));
    let unhealthy =
        LocatedRule { rule: &plain, key: RequiredKey::Resolved { arn: key(1), unhealthy: disabled } };
    assert_eq!(of(&unhealthy, Some(&wanted), true), CoverageClass::KeyUnhealthy);
    assert_eq!(of(&unhealthy, Some(&other), true), CoverageClass::OtherKey);
}

#[test]
fn a_rule_of_the_configuration_acts_as_the_tenant() {
    let definition = rule("r", RuleMode::Enforce, 0).definition;
    let declared = super::super::ConfiguredRule { id: "baseline".parse().unwrap(), definition };
    let configured = EncryptionRule::configured(&"a".parse().unwrap(), &declared);
    assert_eq!(
        (&*configured.creator.subject, &*configured.creator.issuer),
        ("rule/baseline", "configuration")
    );
    assert!(configured.creator.scopes.iter().all(|scope| &**scope != "logkey:query-results"));
    assert_eq!(configured.status.state, RuleState::Active);
    let text = serde_json::to_string(&configured.definition).unwrap();
    assert_eq!(serde_json::from_str::<RuleDefinition>(&text).unwrap(), configured.definition, "{text}");
}

#[test]
fn a_generated_id_has_one_form() {
    let id = RuleId::new_v7();
    assert!(id.is_generated());
    assert_eq!(id.as_str().to_uppercase().parse::<RuleId>().unwrap(), id);
    assert!(!"baseline".parse::<RuleId>().unwrap().is_generated());
    for text in ["", "a b", "a/b", "ü", &"x".repeat(65)] {
        assert!(text.parse::<RuleId>().is_err(), "{text:?}");
    }
}
