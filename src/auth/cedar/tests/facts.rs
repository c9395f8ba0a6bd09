//! Policies that use claims of the token, tags of the key, and the previous key.

use super::fixture::*;
use crate::domain::call::Action;

const GRANT: &str = "allow tenant/payments/111122223333/log-groups";
const PCI: &str = r#"@id("only-pci") forbid (principal, action == LogKey::Action::"AssociateKmsKey", resource)
    unless { context has key && context.key.hasTag("data-class") && context.key.getTag("data-class") == "pci" };"#;

#[test]
fn a_policy_can_use_a_claim_of_the_token() {
    let fixture = Fixture::new(
        r#"@id("risk-only") forbid (principal, action in LogKey::Action::"Change", resource)
           unless { principal.hasTag("org.department") && principal.getTag("org.department").contains("risk") };"#,
    );
    assert_eq!(fixture.decide(&ASSOCIATE), "forbid risk-only");
    assert_eq!(
        fixture.decide(&Case { claims: &[("org.department", "sales")], ..ASSOCIATE }),
        "forbid risk-only"
    );
    assert_eq!(fixture.decide(&Case { claims: &[("org.department", "risk")], ..ASSOCIATE }), GRANT);
    assert_eq!(fixture.required_facts(&ASSOCIATE), " / ", "claims need no lookup");
}

#[test]
fn a_policy_can_use_the_tags_and_the_account_of_the_key() {
    let fixture = Fixture::new(PCI);
    assert_eq!(fixture.required_facts(&ASSOCIATE), "only-pci / ");
    assert_eq!(fixture.decide(&Case { tags: Some(&[("data-class", "pci")]), ..ASSOCIATE }), GRANT);
    assert_eq!(
        fixture.decide(&Case { tags: Some(&[("data-class", "open")]), ..ASSOCIATE }),
        "forbid only-pci"
    );
    assert_eq!(fixture.decide(&Case { tags: Some(&[]), ..ASSOCIATE }), "forbid only-pci");
    let fixture = Fixture::new(
        r#"@id("own-keys") forbid (principal, action, resource)
           when { context has key && !(context.key in LogKey::Account::"111122223333") };"#,
    );
    assert_eq!(fixture.decide(&ASSOCIATE), GRANT);
    assert_eq!(fixture.required_facts(&ASSOCIATE), " / ", "the policy uses no tag");
}

#[test]
fn a_missing_policy_fact_denies_the_call() {
    let fixture = Fixture::new(PCI);
    assert_eq!(fixture.decide(&ASSOCIATE), "undecided only-pci");
    let permit = Fixture::new(
        r#"@id("tagged") permit (principal, action, resource) when { context has key && context.key.hasTag("x") };"#,
    );
    let other = Case { target: Some("/search/api"), ..ASSOCIATE };
    assert_eq!(permit.decide(&other), "undecided tagged");
    assert_eq!(permit.decide(&Case { tags: Some(&[("x", "1")]), ..other }), "allow tagged");
}

#[test]
fn facts_are_required_only_if_a_policy_in_scope_uses_them() {
    let fixture = Fixture::new(PCI);
    for call in [
        READ,
        Case { action: Action::DisassociateKmsKey, ..READ },
        Case { target: Some("/search/api"), ..ASSOCIATE },
        Case { key: Some("arn:aws:kms:eu-west-1:444455556666:key/other"), ..ASSOCIATE },
    ] {
        assert_eq!(fixture.required_facts(&call), " / ", "{} {:?}", call.action, call.target);
    }
    assert_eq!(fixture.decide(&Case { target: Some("/search/api"), ..ASSOCIATE }), "not permitted");
    let other = PCI.replace("(principal,", r#"(principal in LogKey::Tenant::"search","#);
    assert_eq!(
        Fixture::new(&other).required_facts(&ASSOCIATE),
        " / ",
        "the policy applies to another tenant"
    );
    assert_eq!(Fixture::new(&other).decide(&ASSOCIATE), GRANT);
}

#[test]
fn a_policy_can_use_the_previous_key() {
    let fixture = Fixture::new(
        r#"@id("no-downgrade") forbid (principal, action in LogKey::Action::"Change", resource)
           when { context has previous && context.previous.account == "999988887777" };"#,
    );
    let off = Case { action: Action::DisassociateKmsKey, ..READ };
    assert_eq!(fixture.required_facts(&ASSOCIATE), " / no-downgrade");
    assert_eq!(fixture.required_facts(&off), " / no-downgrade");
    assert_eq!(fixture.required_facts(&READ), " / ", "a read has no previous key");
    assert_eq!(fixture.decide(&off), "undecided no-downgrade");
    assert_eq!(fixture.decide(&Case { previous: Some(""), ..off.clone() }), GRANT);
    assert_eq!(fixture.decide(&Case { previous: Some(KEY), ..off.clone() }), GRANT);
    let guarded = "arn:aws:kms:eu-west-1:999988887777:key/guarded";
    assert_eq!(fixture.decide(&Case { previous: Some(guarded), ..off }), "forbid no-downgrade");
}

#[test]
fn every_rpc_is_subject_to_policies() {
    let fixture = Fixture::new(
        r#"@id("no-insight") forbid (principal == LogKey::Caller::"https://idp.test|mallory",
               action in [LogKey::Action::"Self", LogKey::Action::"Setup"], resource);"#,
    );
    let location = Case { target: None, ..READ };
    let caller = Case { action: Action::GetCaller, target: Some("tenant"), ..READ };
    let onboarding = Case { action: Action::GetOnboarding, target: Some("account"), ..READ };
    let access = Case { action: Action::TestAccess, ..location };
    assert_eq!(fixture.decide(&caller), "allow tenant/payments/itself");
    assert_eq!(fixture.decide(&onboarding), "allow tenant/payments/111122223333/setup");
    assert_eq!(fixture.decide(&access), "allow tenant/payments/111122223333/places");
    for call in [caller, onboarding, access] {
        assert_eq!(fixture.decide(&Case { subject: "mallory", ..call }), "forbid no-insight");
    }
}

#[test]
fn the_objects_of_the_fleet_belong_to_their_tenants_and_operators_read_all() {
    let fixture = Fixture::new(
        r#"@id("no-bulk") forbid (principal == LogKey::Caller::"https://idp.test|mallory",
               action in [LogKey::Action::"Bulk", LogKey::Action::"Rule"], resource) when { resource.tenant != "*" };"#,
    );
    let reads = [
        (Action::ListBulkAssociations, "bulk-jobs"),
        (Action::ListEncryptionRules, "encryption-rules"),
        (Action::GetCoverage, "coverage"),
    ];
    for (action, what) in reads {
        let own = Case { action, target: Some("own"), ..READ };
        let allowed = format!("allow tenant/payments/{what}");
        assert_eq!(fixture.decide(&own), allowed);
        for target in ["other", "all"] {
            let foreign = Case { target: Some(target), ..own };
            assert_eq!(fixture.decide(&foreign), "not permitted", "{action} {target}");
            let operator = Case { scopes: "logkey:admin", ..foreign };
            assert_eq!(fixture.decide(&operator), format!("{allowed}-of-all"));
        }
    }
    for action in [Action::CancelBulkAssociation, Action::DeleteEncryptionRule] {
        let operator = Case { action, target: Some("other"), scopes: "logkey:admin", ..READ };
        assert_eq!(fixture.decide(&operator), "not permitted", "an operator only reads");
        let own = Case { action, target: Some("own"), subject: "mallory", ..READ };
        assert_eq!(fixture.decide(&own), "forbid no-bulk");
    }
}
