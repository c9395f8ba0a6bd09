//! Policies by claims of the token, tags of the key, and the key before.

use super::fixture::*;
use crate::domain::call::Action;

const GRANT: &str = "allow tenant/payments/111122223333/log-groups";
const PCI: &str = r#"@id("only-pci") forbid (principal, action == LogKey::Action::"AssociateKmsKey", resource)
    unless { context has key && context.key.hasTag("data-class") && context.key.getTag("data-class") == "pci" };"#;

#[test]
fn a_policy_can_go_by_a_claim_of_the_token() {
    let ground = Ground::new(
        r#"@id("risk-only") forbid (principal, action in LogKey::Action::"Change", resource)
           unless { principal.hasTag("org.department") && principal.getTag("org.department").contains("risk") };"#,
    );
    assert_eq!(ground.says(&ASSOCIATE), "forbid risk-only");
    assert_eq!(ground.says(&Ask { claims: &[("org.department", "sales")], ..ASSOCIATE }), "forbid risk-only");
    assert_eq!(ground.says(&Ask { claims: &[("org.department", "risk")], ..ASSOCIATE }), GRANT);
    assert_eq!(ground.required_facts(&ASSOCIATE), " / ", "claims are at hand");
}

#[test]
fn a_policy_can_go_by_the_keys_tags_and_its_account() {
    let ground = Ground::new(PCI);
    assert_eq!(ground.required_facts(&ASSOCIATE), "only-pci / ");
    assert_eq!(ground.says(&Ask { tags: Some(&[("data-class", "pci")]), ..ASSOCIATE }), GRANT);
    assert_eq!(ground.says(&Ask { tags: Some(&[("data-class", "open")]), ..ASSOCIATE }), "forbid only-pci");
    assert_eq!(ground.says(&Ask { tags: Some(&[]), ..ASSOCIATE }), "forbid only-pci");
    let ground = Ground::new(
        r#"@id("own-keys") forbid (principal, action, resource)
           when { context has key && !(context.key in LogKey::Account::"111122223333") };"#,
    );
    assert_eq!(ground.says(&ASSOCIATE), GRANT);
    assert_eq!(ground.required_facts(&ASSOCIATE), " / ", "no tag is looked at");
}

#[test]
fn what_a_policy_asks_for_and_is_not_told_counts_as_no() {
    let ground = Ground::new(PCI);
    assert_eq!(ground.says(&ASSOCIATE), "undecided only-pci");
    let permit = Ground::new(
        r#"@id("tagged") permit (principal, action, resource) when { context has key && context.key.hasTag("x") };"#,
    );
    let other = Ask { target: Some("/search/api"), ..ASSOCIATE };
    assert_eq!(permit.says(&other), "undecided tagged");
    assert_eq!(permit.says(&Ask { tags: Some(&[("x", "1")]), ..other }), "allow tagged");
}

#[test]
fn nothing_is_looked_up_for_calls_that_no_asking_policy_is_about_or_that_are_as_if_absent() {
    let ground = Ground::new(PCI);
    for call in [
        READ,
        Ask { action: Action::DisassociateKmsKey, ..READ },
        Ask { target: Some("/search/api"), ..ASSOCIATE },
        Ask { key: Some("arn:aws:kms:eu-west-1:444455556666:key/other"), ..ASSOCIATE },
    ] {
        assert_eq!(ground.required_facts(&call), " / ", "{} {:?}", call.action, call.target);
    }
    assert_eq!(ground.says(&Ask { target: Some("/search/api"), ..ASSOCIATE }), "not permitted");
    let other = PCI.replace("(principal,", r#"(principal in LogKey::Tenant::"search","#);
    assert_eq!(Ground::new(&other).required_facts(&ASSOCIATE), " / ", "the policy is another tenant's");
    assert_eq!(Ground::new(&other).says(&ASSOCIATE), GRANT);
}

#[test]
fn a_policy_can_go_by_the_key_before() {
    let ground = Ground::new(
        r#"@id("no-downgrade") forbid (principal, action in LogKey::Action::"Change", resource)
           when { context has previous && context.previous.account == "999988887777" };"#,
    );
    let off = Ask { action: Action::DisassociateKmsKey, ..READ };
    assert_eq!(ground.required_facts(&ASSOCIATE), " / no-downgrade");
    assert_eq!(ground.required_facts(&off), " / no-downgrade");
    assert_eq!(ground.required_facts(&READ), " / ", "a read has no key before");
    assert_eq!(ground.says(&off), "undecided no-downgrade");
    assert_eq!(ground.says(&Ask { previous: Some(""), ..off.clone() }), GRANT);
    assert_eq!(ground.says(&Ask { previous: Some(KEY), ..off.clone() }), GRANT);
    let guarded = "arn:aws:kms:eu-west-1:999988887777:key/guarded";
    assert_eq!(ground.says(&Ask { previous: Some(guarded), ..off }), "forbid no-downgrade");
}

#[test]
fn every_rpc_is_judged() {
    let ground = Ground::new(
        r#"@id("no-insight") forbid (principal == LogKey::Caller::"https://idp.test|mallory",
               action in [LogKey::Action::"Self", LogKey::Action::"Setup"], resource);"#,
    );
    let location = Ask { target: None, ..READ };
    let caller = Ask { action: Action::GetCaller, target: Some("tenant"), ..READ };
    let onboarding = Ask { action: Action::GetOnboarding, target: Some("account"), ..READ };
    let access = Ask { action: Action::TestAccess, ..location };
    assert_eq!(ground.says(&caller), "allow tenant/payments/itself");
    assert_eq!(ground.says(&onboarding), "allow tenant/payments/111122223333/setup");
    assert_eq!(ground.says(&access), "allow tenant/payments/111122223333/places");
    for call in [caller, onboarding, access] {
        assert_eq!(ground.says(&Ask { subject: "mallory", ..call }), "forbid no-insight");
    }
    // A bulk job can be named already.
    Ground::new(
        r#"forbid (principal, action in LogKey::Action::"Bulk", resource) when { resource.tenant == "a" };"#,
    );
}
