//! The policies that represent grants.

use proptest::prelude::*;

use super::{
    super::{CedarPolicy, load, resource_kind::ResourceKind},
    fixture::*,
};
use crate::domain::{pattern::Pattern, tenant::AccountGrant};

#[test]
fn a_grant_becomes_a_readable_policy() {
    let mut grant = grant(ACCOUNT);
    grant.kms_keys.push("arn:aws:kms:*:999988887777:key/shared-*".parse().unwrap());
    let all = CedarPolicy::grants_of(&tenant("payments", vec![grant]));
    let [groups, locations, setup] = &*all else { panic!("{all:?}") };
    assert_eq!(locations.id, "tenant/payments/111122223333/places");
    assert_eq!(setup.id, "tenant/payments/111122223333/setup");
    assert_eq!(
        groups.text,
        r#"@id("tenant/payments/111122223333/log-groups")
permit (
    principal in LogKey::Tenant::"payments",
    action in [LogKey::Action::"Read", LogKey::Action::"Change"],
    resource is LogKey::LogGroup in LogKey::Account::"111122223333"
)
when { ["eu-west-1", "us-east-1"].contains(resource.region) }
when { resource.name like "/payments/*" || resource.name like "/shared/audit" }
when { if context has key then context.key.arn like "arn:aws:kms:*:111122223333:key/*" || context.key.arn like "arn:aws:kms:*:999988887777:key/shared-*" else true };
"#
    );
}

#[test]
fn a_grant_that_permits_nothing_has_no_policy() {
    let empty = |change: fn(&mut AccountGrant)| {
        let mut grant = grant(ACCOUNT);
        change(&mut grant);
        let all = CedarPolicy::grants_of(&tenant("payments", vec![grant]));
        all.into_iter().map(|policy| policy.id.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(empty(|grant| grant.regions = [].into()), Vec::<String>::new());
    assert_eq!(empty(|grant| grant.log_groups.clear()), ["places", "setup"]);
    assert_eq!(empty(|grant| grant.query_results = true), ["log-groups", "query-results", "places", "setup"]);
    let keyless = AccountGrant { kms_keys: Vec::new(), ..grant(ACCOUNT) };
    let fixture = Fixture::with(vec![tenant("payments", vec![keyless])], "");
    assert_eq!(fixture.decide(&ASSOCIATE), "not permitted");
    assert_eq!(fixture.decide(&READ), "allow tenant/payments/111122223333/log-groups");
}

#[test]
fn other_tenants_add_no_policies_to_a_decision() {
    let policies_beside = |others: usize| {
        let others = (0..others).map(|nth| tenant(&format!("other-{nth}"), vec![grant("444455556666")]));
        let all = [tenant("payments", vec![grant(ACCOUNT)])].into_iter().chain(others).collect();
        let fixture = Fixture::with(all, "forbid (principal, action, resource) when { context.hour > 23 };");
        let bundle = fixture.with_request(&ASSOCIATE, |policy, question| {
            policy.policies_for(question, ResourceKind::LogGroup)
        });
        bundle.unwrap().policies.ids()
    };
    let alone = policies_beside(0);
    assert_eq!(alone.len(), 2, "{alone:?}");
    assert_eq!(policies_beside(10_000), alone);
}

fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
    prop::collection::vec("[A-Za-z0-9*._/#:+=,@-]{1,40}".prop_map(|text| text.parse().unwrap()), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every grant that the configuration accepts becomes valid Cedar, so that none fails on first use.
    #[test]
    fn every_grant_is_valid_policy(
        groups in patterns(),
        keys in patterns(),
        regions in prop::collection::vec("[a-z]{2}-[a-z]{1,9}-[0-9]", 0..3),
        query_results: bool,
        id in "[a-z0-9-]{1,63}",
    ) {
        let grant = AccountGrant {
            log_groups: groups,
            kms_keys: keys,
            regions: regions.into_iter().map(|region| region.parse().unwrap()).collect(),
            query_results,
            ..grant(ACCOUNT)
        };
        let validator = cedar_policy::Validator::new(load::schema().unwrap());
        let tenant = tenant(&id, vec![grant]);
        for policy in CedarPolicy::grants_of(&tenant).into_iter().chain(CedarPolicy::global_policies(&tenant)) {
            let parsed = cedar_policy::Policy::parse(Some(cedar_policy::PolicyId::new(&policy.id)), &policy.text);
            let diagnostics = load::invalid(&validator, &policy.id, &policy.text, &parsed.unwrap());
            prop_assert_eq!(diagnostics, vec![], "{}", policy.text);
        }
    }

    /// A grant permits the same log groups in Cedar as in the rest of the service.
    #[test]
    fn a_grant_permits_the_same_in_cedar_as_in_the_domain(
        groups in prop::collection::vec("[ab/*]{1,6}".prop_map(|text| text.parse().unwrap()), 1..4),
        name in "[ab/]{1,8}",
        query_results: bool,
    ) {
        let grant = AccountGrant { log_groups: groups, query_results, ..grant(ACCOUNT) };
        let opened = grant.allows_log_group(&name.parse().unwrap());
        let fixture = Fixture::with(vec![tenant("payments", vec![grant])], "");
        let name: &'static str = name.leak();
        prop_assert_eq!(fixture.decide(&Case { target: Some(name), ..ASSOCIATE }) != "not permitted", opened);
        prop_assert_eq!(fixture.decide(&Case { target: Some("*"), ..ASSOCIATE }) != "not permitted", query_results);
    }
}
