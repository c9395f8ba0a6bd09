//! Questions and answers.

use std::sync::atomic::Ordering::SeqCst;

use super::fixture::*;
use crate::domain::call::Action;

const GRANT: &str = "allow tenant/payments/111122223333/log-groups";

#[test]
fn a_grant_permits_what_it_opens_and_the_answer_names_it() {
    let ground = Ground::new("");
    assert_eq!(ground.says(&ASSOCIATE), GRANT);
    assert_eq!(ground.says(&READ), GRANT);
    for action in [Action::DisassociateKmsKey, Action::CheckKeyAssociation] {
        assert_eq!(ground.says(&Ask { action, ..READ }), GRANT, "{action}");
    }
    let location = Ask { action: Action::ListKeyAssociations, target: None, ..READ };
    assert_eq!(ground.says(&location), "allow tenant/payments/111122223333/places");
    assert_eq!(
        ground.says(&Ask { action: Action::GetKeyUsage, key: Some(KEY), ..location }),
        "allow tenant/payments/111122223333/places"
    );
}

#[test]
fn what_a_grant_does_not_open_is_not_permitted() {
    let ground = Ground::new("");
    let foreign = "arn:aws:kms:eu-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    for (what, call) in [
        ("another log group", Ask { target: Some("/search/api"), ..ASSOCIATE }),
        ("a name that only begins alike", Ask { target: Some("/payments"), ..ASSOCIATE }),
        ("another Region", Ask { region: "eu-west-2", ..ASSOCIATE }),
        ("another key", Ask { key: Some(foreign), ..ASSOCIATE }),
        ("another tenant's account", Ask { account: "444455556666", ..ASSOCIATE }),
        ("query results", Ask { target: Some("*"), ..ASSOCIATE }),
        ("another tenant", Ask { tenant: "search", ..ASSOCIATE }),
    ] {
        assert_eq!(ground.says(&call), "not permitted", "{what}");
    }
}

#[test]
fn query_results_are_open_only_where_that_is_granted() {
    let ground = Ground::new("");
    let granted = Ask {
        account: "777788889999",
        target: Some("*"),
        key: Some("arn:aws:kms:eu-west-1:777788889999:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
        ..ASSOCIATE
    };
    assert_eq!(ground.says(&granted), "allow tenant/payments/777788889999/query-results");
    assert_eq!(ground.says(&Ask { key: Some(KEY), ..granted }), "not permitted");
}

#[test]
fn a_tenant_reads_its_own_audit_log_and_with_the_scope_for_it_that_of_all() {
    let audit = Ask { action: Action::ListAuditEvents, target: Some("audit"), key: None, ..ASSOCIATE };
    let all = Ask { target: Some("audit *"), ..audit.clone() };
    let ground = Ground::new("");
    for action in Action::ALL.into_iter().filter(|action| action.reads_audit()) {
        assert_eq!(ground.says(&Ask { action, ..audit.clone() }), "allow tenant/payments/audit", "{action}");
        assert_eq!(ground.says(&Ask { action, ..all.clone() }), "not permitted", "{action}");
        let admin = Ask { action, scopes: "logkey:audit logkey:admin", ..all.clone() };
        assert_eq!(ground.says(&admin), "allow tenant/payments/audit-of-all", "{action}");
    }
    assert_eq!(ground.says(&Ask { tenant: "search", ..audit.clone() }), "allow tenant/search/audit");
    assert_eq!(ground.says(&Ask { action: Action::GetKeyAssociation, ..audit.clone() }), "undecided ");
    assert_eq!(ground.says(&Ask { target: None, ..audit.clone() }), "undecided ");

    let ground = Ground::new(
        "@id(\"only-from-inside\") forbid (principal, action in LogKey::Action::\"Audit\", resource)
         unless { context has source && context.source.isInRange(ip(\"10.0.0.0/8\")) };
         @id(\"nobody-watches-all\") forbid (principal, action == LogKey::Action::\"WatchAuditEvents\", resource)
         unless { resource has tenant };",
    );
    assert_eq!(ground.says(&audit), "allow tenant/payments/audit");
    assert_eq!(ground.says(&Ask { source: None, ..audit.clone() }), "forbid only-from-inside");
    let watch = Ask { action: Action::WatchAuditEvents, scopes: "logkey:admin", ..all };
    assert_eq!(ground.says(&watch), "forbid nobody-watches-all");
    assert_eq!(ground.says(&Ask { target: Some("audit"), ..watch }), "allow tenant/payments/audit");
}

#[test]
fn an_action_and_what_it_is_about_have_to_go_together() {
    let ground = Ground::new("");
    for call in [
        Ask { key: None, ..ASSOCIATE },
        Ask { target: None, ..ASSOCIATE },
        Ask { action: Action::DisassociateKmsKey, ..ASSOCIATE },
        Ask { target: None, ..READ },
        Ask { action: Action::ListKeyAssociations, ..READ },
        Ask { action: Action::GetCaller, ..READ },
        Ask { action: Action::Unknown, ..READ },
    ] {
        assert_eq!(ground.says(&call), "undecided ", "{}", call.action);
    }
}

#[test]
fn an_operators_forbid_stands_above_every_grant_and_is_named() {
    let ground = Ground::new(
        r#"@id("no-audit-logs") forbid (principal, action in LogKey::Action::"Change", resource is LogKey::LogGroup)
           when { resource.name like "*/audit" };"#,
    );
    let audit = Ask { target: Some("/shared/audit"), ..ASSOCIATE };
    assert_eq!(ground.says(&audit), "forbid no-audit-logs");
    assert_eq!(ground.says(&Ask { target: Some("/shared/audit"), ..READ }), GRANT);
    assert_eq!(ground.says(&ASSOCIATE), GRANT);
}

#[test]
fn a_forbid_does_not_tell_of_what_the_caller_could_not_see_anyway() {
    let ground =
        Ground::new(r#"@id("freeze") forbid (principal, action in LogKey::Action::"Change", resource);"#);
    assert_eq!(ground.says(&ASSOCIATE), "forbid freeze");
    assert_eq!(ground.says(&Ask { target: Some("/search/api"), ..ASSOCIATE }), "not permitted");
}

#[test]
fn a_forbid_that_cannot_be_evaluated_permits_nothing() {
    // Strict validation cannot know that a number is too large to be added to.
    let ground = Ground::new(
        r#"@id("broken") forbid (principal, action, resource) when { 9223372036854775807 + context.hour == 0 };"#,
    );
    assert_eq!(ground.says(&ASSOCIATE), "undecided broken");
}

#[test]
fn a_permit_that_cannot_be_evaluated_permits_nothing_either() {
    let ground = Ground::new(
        r#"@id("broken") permit (principal, action, resource) when { 9223372036854775807 + context.hour == 0 };"#,
    );
    assert_eq!(ground.says(&ASSOCIATE), "undecided broken");
}

#[test]
fn break_glass_opens_for_one_person_until_it_expires() {
    let ground = Ground::new(
        r#"@id("break-glass/INC-1") permit (
               principal == LogKey::Caller::"https://idp.test|oncall",
               action,
               resource in LogKey::Account::"111122223333"
           ) when { context.now < datetime("2026-11-23T12:00:00Z") };"#,
    );
    let other = Ask { target: Some("/search/api"), ..ASSOCIATE };
    let oncall = Ask { subject: "oncall", ..other.clone() };
    assert_eq!(ground.says(&oncall), "allow break-glass/INC-1");
    assert_eq!(ground.says(&other), "not permitted");
    ground.clock.0.store(MONDAY + 7200, SeqCst);
    assert_eq!(ground.says(&oncall), "not permitted");
}

#[test]
fn policies_see_time_source_and_scopes() {
    let ground = Ground::new(
        r#"@id("office-hours") forbid (principal, action in LogKey::Action::"Change", resource)
               unless { context.hour >= 8 && context.hour < 17 && !(["Saturday", "Sunday"].contains(context.weekday)) };
           @id("inside") forbid (principal, action, resource)
               unless { context has source && context.source.isInRange(ip("10.0.0.0/8")) };
           @id("interns") forbid (principal, action in LogKey::Action::"Change", resource)
               when { principal.scopes.contains("intern") };"#,
    );
    assert_eq!(ground.says(&ASSOCIATE), GRANT);
    assert_eq!(ground.says(&Ask { source: Some("::ffff:10.1.2.3"), ..ASSOCIATE }), GRANT);
    assert_eq!(ground.says(&Ask { source: Some("192.0.2.1"), ..ASSOCIATE }), "forbid inside");
    assert_eq!(ground.says(&Ask { source: None, ..ASSOCIATE }), "forbid inside");
    assert_eq!(ground.says(&Ask { scopes: "logkey:associate intern", ..ASSOCIATE }), "forbid interns");
    ground.clock.0.store(MONDAY + 7 * 3600, SeqCst);
    assert_eq!(ground.says(&ASSOCIATE), "forbid office-hours");
    ground.clock.0.store(MONDAY - 24 * 3600, SeqCst);
    assert_eq!(ground.says(&ASSOCIATE), "forbid office-hours", "a Sunday");
}

#[test]
fn a_policy_can_name_one_log_group_one_tenant_and_one_key() {
    let ground = Ground::new(
        r#"@id("frozen") forbid (
               principal in LogKey::Tenant::"payments",
               action == LogKey::Action::"AssociateKmsKey",
               resource == LogKey::LogGroup::"arn:aws:logs:eu-west-1:111122223333:log-group:/payments/api"
           );
           @id("us-keys") forbid (principal, action, resource) when { context has key && context.key.region == "us-east-1" };"#,
    );
    assert_eq!(ground.says(&ASSOCIATE), "forbid frozen");
    assert_eq!(ground.says(&Ask { region: "us-east-1", ..ASSOCIATE }), GRANT);
    let key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    assert_eq!(ground.says(&Ask { region: "us-east-1", key: Some(key), ..ASSOCIATE }), "forbid us-keys");
}

#[test]
fn two_subjects_are_never_one_caller() {
    let ground = Ground::new(
        r#"@id("alice") forbid (principal == LogKey::Caller::"https://idp.test|alice", action, resource);"#,
    );
    assert_eq!(ground.says(&ASSOCIATE), "forbid alice");
    assert_eq!(ground.says(&Ask { subject: "Alice", ..ASSOCIATE }), GRANT);
    assert_eq!(ground.says(&Ask { subject: "x|alice", ..ASSOCIATE }), GRANT);
    assert_eq!(ground.says(&Ask { subject: "ali\"ce", ..ASSOCIATE }), GRANT);
}
