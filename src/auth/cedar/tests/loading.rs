//! Which policy files load, and which problems are reported.

use std::sync::{Arc, atomic::AtomicI64};

use super::{
    super::{CedarPolicy, load},
    fixture::*,
};
use crate::domain::{call::Action, fleet_kind::FleetKind};

fn diagnostics(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<_> = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    let clock = Arc::new(TestClock(AtomicI64::new(MONDAY)));
    match CedarPolicy::load(Arc::default(), &files, clock) {
        Ok(_) => Vec::new(),
        Err(diagnostics) => diagnostics.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_schema_defines_every_action_in_its_group() {
    let schema = load::schema().unwrap();
    for action in Action::ALL {
        let uid = format!("LogKey::Action::\"{action}\"").parse().unwrap();
        assert!(schema.actions().any(|candidate| *candidate == uid), "{action}");
        let group = match (action, action.is_mutation(), action.reads_audit()) {
            _ if action.fleet_kind() == Some(FleetKind::BulkJob) => "Bulk",
            _ if action.fleet_kind() == Some(FleetKind::EncryptionRule) => "Rule",
            _ if action.fleet_kind() == Some(FleetKind::Coverage) => "Coverage",
            (Action::GetCaller, ..) => "Self",
            (Action::GetOnboarding | Action::TestAccess, ..) => "Setup",
            (_, true, _) => "Change",
            (_, _, true) => "Audit",
            _ => "Read",
        };
        let group = format!("LogKey::Action::\"{group}\"").parse().unwrap();
        assert!(schema.action_entities().unwrap().is_ancestor_of(&group, &uid), "{action}");
    }
}

#[test]
fn every_problem_of_every_file_is_reported_with_its_location() {
    let reported = diagnostics(&[
        ("a.cedar", "permit (principal, action, resource)\nwhen { resource.nam == \"x\" };"),
        ("b.cedar", "permit (principal, action, resource);\n\n  forbid (principal, action resource);"),
        ("c.cedar", "forbid (principal, action == LogKey::Action::\"Drop\", resource);"),
        ("d.cedar", "permit (principal, action, resource) when { context.key.arn == \"x\" };"),
        ("e.cedar", "permit (principal is User, action, resource);"),
    ]);
    for (location, what) in [
        ("a.cedar:2:8: ", "nam"),
        ("b.cedar:3:29: ", "unexpected token `resource`"),
        ("c.cedar:1:", "Drop"),
        ("d.cedar:1:45: ", "context has key"),
        ("e.cedar:1:", "User"),
    ] {
        assert!(
            reported.iter().any(|one| one.starts_with(location) && one.contains(what)),
            "{location} {what}: {reported:#?}"
        );
    }
    assert!(reported.iter().all(|one| !one.contains('\n')), "{reported:#?}");
}

#[test]
fn a_policy_that_can_never_apply_is_reported() {
    let reported = diagnostics(&[(
        "a.cedar",
        "forbid (principal, action == LogKey::Action::\"GetKeyUsage\", resource is LogKey::LogGroup);",
    )]);
    assert!(reported.iter().any(|one| one.contains("policy is impossible")), "{reported:#?}");
}

#[test]
fn duplicate_and_reserved_ids_are_reported() {
    let all = "permit (principal, action, resource);";
    let reported = diagnostics(&[
        ("a.cedar", &format!("@id(\"x\") {all}\n@id(\"x\") {all}")),
        ("b.cedar", &format!("@id(\"x\") {all}")),
        ("c.cedar", &format!("@id(\"tenant/payments/111122223333/log-groups\") {all}")),
    ]);
    assert_eq!(
        reported,
        [
            "a.cedar:2:1: @id(\"x\") is used twice: rename one of them",
            "b.cedar:1:1: @id(\"x\") is used twice: rename one of them",
            "c.cedar:1:1: @id starts with tenant/, which is reserved for tenants' grants: rename it",
        ]
    );
}

#[test]
fn a_policy_without_an_id_is_named_by_its_file_and_number() {
    let fixture =
        Fixture::new("permit (principal, action, resource);\npermit (principal, action, resource);");
    assert_eq!(
        fixture.decide(&Case { target: Some("/search/api"), ..ASSOCIATE }),
        "allow operators#1 operators#2"
    );
}

#[test]
fn templates_are_rejected() {
    let reported = diagnostics(&[("a.cedar", "permit (principal == ?principal, action, resource);")]);
    assert!(reported[0].starts_with("a.cedar:1:22: templates are not supported"), "{reported:#?}");
}
