//! Which decision a call gets, and which policies it names.

use std::sync::atomic::Ordering::SeqCst;

use super::fixture::*;
use crate::domain::call::Action;

const GRANT: &str = "allow tenant/payments/111122223333/log-groups";

#[test]
fn a_grant_permits_its_resources_and_the_decision_names_it() {
    let fixture = Fixture::new("");
    assert_eq!(fixture.decide(&ASSOCIATE), GRANT);
    assert_eq!(fixture.decide(&READ), GRANT);
    for action in [Action::DisassociateKmsKey, Action::CheckKeyAssociation] {
        assert_eq!(fixture.decide(&Case { action, ..READ }), GRANT, "{action}");
    }
    let location = Case { action: Action::ListKeyAssociations, target: None, ..READ };
    assert_eq!(fixture.decide(&location), "allow tenant/payments/111122223333/places");
    assert_eq!(
        fixture.decide(&Case { action: Action::GetKeyUsage, key: Some(KEY), ..location }),
        "allow tenant/payments/111122223333/places"
    );
}

#[test]
fn resources_outside_the_grant_are_not_permitted() {
    let fixture = Fixture::new("");
    let foreign = "arn:aws:kms:eu-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    for (what, call) in [
        ("another log group", Case { target: Some("/search/api"), ..ASSOCIATE }),
        ("a name with a similar start", Case { target: Some("/payments"), ..ASSOCIATE }),
        ("another Region", Case { region: "eu-west-2", ..ASSOCIATE }),
        ("another key", Case { key: Some(foreign), ..ASSOCIATE }),
        ("another tenant's account", Case { account: "444455556666", ..ASSOCIATE }),
        ("query results", Case { target: Some("*"), ..ASSOCIATE }),
        ("another tenant", Case { tenant: "search", ..ASSOCIATE }),
    ] {
        assert_eq!(fixture.decide(&call), "not permitted", "{what}");
    }
}

#[test]
fn query_results_need_their_own_grant() {
    let fixture = Fixture::new("");
    let granted = Case {
        account: "777788889999",
        target: Some("*"),
        key: Some("arn:aws:kms:eu-west-1:777788889999:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
        ..ASSOCIATE
    };
    assert_eq!(fixture.decide(&granted), "allow tenant/payments/777788889999/query-results");
    assert_eq!(fixture.decide(&Case { key: Some(KEY), ..granted }), "not permitted");
}

#[test]
fn a_tenant_reads_its_own_audit_log_and_an_admin_reads_all() {
    let audit = Case { action: Action::ListAuditEvents, target: Some("audit"), key: None, ..ASSOCIATE };
    let all = Case { target: Some("audit *"), ..audit.clone() };
    let fixture = Fixture::new("");
    for action in Action::ALL.into_iter().filter(|action| action.reads_audit()) {
        assert_eq!(
            fixture.decide(&Case { action, ..audit.clone() }),
            "allow tenant/payments/audit",
            "{action}"
        );
        assert_eq!(fixture.decide(&Case { action, ..all.clone() }), "not permitted", "{action}");
        let admin = Case { action, scopes: "logkey:audit logkey:admin", ..all.clone() };
        assert_eq!(fixture.decide(&admin), "allow tenant/payments/audit-of-all", "{action}");
    }
    assert_eq!(fixture.decide(&Case { tenant: "search", ..audit.clone() }), "allow tenant/search/audit");
    assert_eq!(fixture.decide(&Case { action: Action::GetKeyAssociation, ..audit.clone() }), "undecided ");
    assert_eq!(fixture.decide(&Case { target: None, ..audit.clone() }), "undecided ");

    let fixture = Fixture::new(
        "@id(\"only-from-inside\") forbid (principal, action in LogKey::Action::\"Audit\", resource)
         unless { context has source && context.source.isInRange(ip(\"10.0.0.0/8\")) };
         @id(\"nobody-watches-all\") forbid (principal, action == LogKey::Action::\"WatchAuditEvents\", resource)
         unless { resource has tenant };",
    );
    assert_eq!(fixture.decide(&audit), "allow tenant/payments/audit");
    assert_eq!(fixture.decide(&Case { source: None, ..audit.clone() }), "forbid only-from-inside");
    let watch = Case { action: Action::WatchAuditEvents, scopes: "logkey:admin", ..all };
    assert_eq!(fixture.decide(&watch), "forbid nobody-watches-all");
    assert_eq!(fixture.decide(&Case { target: Some("audit"), ..watch }), "allow tenant/payments/audit");
}

#[test]
fn an_action_on_the_wrong_kind_of_resource_is_undecided() {
    let fixture = Fixture::new("");
    for call in [
        Case { key: None, ..ASSOCIATE },
        Case { target: None, ..ASSOCIATE },
        Case { action: Action::DisassociateKmsKey, ..ASSOCIATE },
        Case { target: None, ..READ },
        Case { action: Action::ListKeyAssociations, ..READ },
        Case { action: Action::GetCaller, ..READ },
        Case { action: Action::Unknown, ..READ },
    ] {
        assert_eq!(fixture.decide(&call), "undecided ", "{}", call.action);
    }
}

#[test]
fn an_operators_forbid_overrides_every_grant_and_is_named() {
    let fixture = Fixture::new(
        r#"@id("no-audit-logs") forbid (principal, action in LogKey::Action::"Change", resource is LogKey::LogGroup)
           when { resource.name like "*/audit" };"#,
    );
    let audit = Case { target: Some("/shared/audit"), ..ASSOCIATE };
    assert_eq!(fixture.decide(&audit), "forbid no-audit-logs");
    assert_eq!(fixture.decide(&Case { target: Some("/shared/audit"), ..READ }), GRANT);
    assert_eq!(fixture.decide(&ASSOCIATE), GRANT);
}

#[test]
fn a_forbid_does_not_reveal_resources_outside_the_grant() {
    let fixture =
        Fixture::new(r#"@id("freeze") forbid (principal, action in LogKey::Action::"Change", resource);"#);
    assert_eq!(fixture.decide(&ASSOCIATE), "forbid freeze");
    assert_eq!(fixture.decide(&Case { target: Some("/search/api"), ..ASSOCIATE }), "not permitted");
}

#[test]
fn a_forbid_whose_evaluation_fails_denies_the_call() {
    // Strict validation cannot detect an integer overflow.
    let fixture = Fixture::new(
        r#"@id("broken") forbid (principal, action, resource) when { 9223372036854775807 + context.hour == 0 };"#,
    );
    assert_eq!(fixture.decide(&ASSOCIATE), "undecided broken");
}

#[test]
fn a_permit_whose_evaluation_fails_denies_the_call() {
    let fixture = Fixture::new(
        r#"@id("broken") permit (principal, action, resource) when { 9223372036854775807 + context.hour == 0 };"#,
    );
    assert_eq!(fixture.decide(&ASSOCIATE), "undecided broken");
}

#[test]
fn break_glass_permits_one_person_until_it_expires() {
    let fixture = Fixture::new(
        r#"@id("break-glass/INC-1") permit (
               principal == LogKey::Caller::"https://idp.test|oncall",
               action,
               resource in LogKey::Account::"111122223333"
           ) when { context.now < datetime("2026-11-23T12:00:00Z") };"#,
    );
    let other = Case { target: Some("/search/api"), ..ASSOCIATE };
    let oncall = Case { subject: "oncall", ..other.clone() };
    assert_eq!(fixture.decide(&oncall), "allow break-glass/INC-1");
    assert_eq!(fixture.decide(&other), "not permitted");
    fixture.clock.0.store(MONDAY + 7200, SeqCst);
    assert_eq!(fixture.decide(&oncall), "not permitted");
}

#[test]
fn policies_can_use_the_time_the_source_and_scopes() {
    let fixture = Fixture::new(
        r#"@id("office-hours") forbid (principal, action in LogKey::Action::"Change", resource)
               unless { context.hour >= 8 && context.hour < 17 && !(["Saturday", "Sunday"].contains(context.weekday)) };
           @id("inside") forbid (principal, action, resource)
               unless { context has source && context.source.isInRange(ip("10.0.0.0/8")) };
           @id("interns") forbid (principal, action in LogKey::Action::"Change", resource)
               when { principal.scopes.contains("intern") };"#,
    );
    assert_eq!(fixture.decide(&ASSOCIATE), GRANT);
    assert_eq!(fixture.decide(&Case { source: Some("::ffff:10.1.2.3"), ..ASSOCIATE }), GRANT);
    assert_eq!(fixture.decide(&Case { source: Some("192.0.2.1"), ..ASSOCIATE }), "forbid inside");
    assert_eq!(fixture.decide(&Case { source: None, ..ASSOCIATE }), "forbid inside");
    assert_eq!(fixture.decide(&Case { scopes: "logkey:associate intern", ..ASSOCIATE }), "forbid interns");
    fixture.clock.0.store(MONDAY + 7 * 3600, SeqCst);
    assert_eq!(fixture.decide(&ASSOCIATE), "forbid office-hours");
    fixture.clock.0.store(MONDAY - 24 * 3600, SeqCst);
    assert_eq!(fixture.decide(&ASSOCIATE), "forbid office-hours", "a Sunday");
}

#[test]
fn a_policy_can_name_one_log_group_one_tenant_and_one_key() {
    let fixture = Fixture::new(
        r#"@id("frozen") forbid (
               principal in LogKey::Tenant::"payments",
               action == LogKey::Action::"AssociateKmsKey",
               resource == LogKey::LogGroup::"arn:aws:logs:eu-west-1:111122223333:log-group:/payments/api"
           );
           @id("us-keys") forbid (principal, action, resource) when { context has key && context.key.region == "us-east-1" };"#,
    );
    assert_eq!(fixture.decide(&ASSOCIATE), "forbid frozen");
    assert_eq!(fixture.decide(&Case { region: "us-east-1", ..ASSOCIATE }), GRANT);
    let key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    assert_eq!(fixture.decide(&Case { region: "us-east-1", key: Some(key), ..ASSOCIATE }), "forbid us-keys");
}

#[test]
fn different_subjects_are_different_callers() {
    let fixture = Fixture::new(
        r#"@id("alice") forbid (principal == LogKey::Caller::"https://idp.test|alice", action, resource);"#,
    );
    assert_eq!(fixture.decide(&ASSOCIATE), "forbid alice");
    assert_eq!(fixture.decide(&Case { subject: "Alice", ..ASSOCIATE }), GRANT);
    assert_eq!(fixture.decide(&Case { subject: "x|alice", ..ASSOCIATE }), GRANT);
    assert_eq!(fixture.decide(&Case { subject: "ali\"ce", ..ASSOCIATE }), GRANT);
}
