use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::testing;

fn selection(patterns: &[String], exclude: &[String]) -> Selection {
    let parse = |texts: &[String]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Selection { log_groups: parse(patterns), exclude: parse(exclude), ..Selection::default() }
}

/// A reference implementation of `*`.
fn naive(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
        ([a, pattern @ ..], [b, text @ ..]) => a == b && naive(pattern, text),
        ([], [_, ..]) | ([_, ..], []) => false,
    }
}

proptest! {
    #[test]
    fn names_are_selected_as_in_a_naive_model(
        patterns in prop::collection::vec("[ab/*]{1,6}", 0..4),
        exclude in prop::collection::vec("[ab/*]{1,6}", 0..3),
        name in "[ab/]{1,8}",
    ) {
        let any = |all: &[String]| all.iter().any(|it| naive(it.as_bytes(), name.as_bytes()));
        let expected = (patterns.is_empty() || any(&patterns)) && !any(&exclude);
        let selection = selection(&patterns, &exclude);
        prop_assert_eq!(selection.includes_name(&name.parse().unwrap()), expected);
        if expected {
            prop_assert!(name.starts_with(selection.common_prefix()), "{}", selection.common_prefix());
        }
    }

    #[test]
    fn the_most_specific_override_that_fits_decides_the_key(
        overrides in prop::collection::vec((0_usize..3, 0_usize..3), 0..5),
    ) {
        let accounts = [None, Some("111122223333"), Some("444455556666")];
        let regions = [None, Some("eu-west-1"), Some("us-east-1")];
        let alias = |n: usize| format!("alias/k{n}").parse::<KmsKeyId>().unwrap();
        let choice = KeyChoice {
            key: Some(alias(99)),
            overrides: overrides.iter().enumerate().map(|(n, (account, region))| KeyOverride {
                account: accounts[*account].map(|it| it.parse().unwrap()),
                region: regions[*region].map(|it| it.parse().unwrap()),
                key: alias(n),
            }).collect(),
        };
        let location =
            Location { account: "111122223333".parse().unwrap(), region: "us-east-1".parse().unwrap() };
        let find = |account, region| overrides.iter().rposition(|it| *it == (account, region));
        let fits = find(1, 2).or_else(|| find(1, 0)).or_else(|| find(0, 2)).or_else(|| find(0, 0));
        prop_assert_eq!(choice.for_location(&location), Some(&alias(fits.unwrap_or(99))));
    }
}

#[test]
fn the_current_key_decides_as_the_contract_says() {
    let (one, two): (KmsKeyArn, KmsKeyArn) =
        (testing::KEY.parse().unwrap(), testing::OTHER_KEY.parse().unwrap());
    let with = |current_key| Selection { current_key, ..Selection::default() };
    let of = |selection: Selection| {
        [None, Some(&one), Some(&two)].map(|current| selection.includes_key(current, Some(&one), None))
    };
    assert_eq!(of(with(CurrentKey::Any)), [true, true, true]);
    assert_eq!(of(with(CurrentKey::WithoutKey)), [true, false, false]);
    assert_eq!(of(with(CurrentKey::WithOtherKey)), [true, false, true]);
    assert_eq!(of(with(CurrentKey::WithKey)), [false, true, true]);
    let moved = Selection { current_key_id: Some(KmsKeyId::Arn(two.clone())), ..with(CurrentKey::WithKey) };
    assert!(moved.includes_key(Some(&two), Some(&one), Some(&two)));
    assert!(!moved.includes_key(Some(&one), Some(&one), Some(&two)));
    assert!(!moved.includes_key(None, Some(&one), Some(&two)));
    assert!(!moved.includes_key(None, Some(&one), None), "an alias that does not exist selects nothing");
}

#[test]
fn locations_come_from_the_grants_and_the_resources() {
    let tenant = testing::tenant("a");
    assert_eq!(Selection::default().locations(&tenant).len(), 1);
    let other = Selection { regions: vec!["us-east-1".parse().unwrap()], ..Selection::default() };
    assert_eq!(other.locations(&tenant), []);
    let elsewhere = "arn:aws:logs:us-east-1:111122223333:log-group:/app/a".parse().unwrap();
    let named = Selection { resources: vec![elsewhere], ..Selection::default() };
    assert_eq!(named.locations(&tenant), []);
}

#[test]
fn a_specification_survives_its_stored_form() {
    let selection = Selection {
        accounts: vec!["111122223333".parse().unwrap()],
        regions: vec!["eu-west-1".parse().unwrap()],
        log_groups: vec!["/app/*".parse().unwrap()],
        exclude: vec!["*/tmp".parse().unwrap()],
        current_key: CurrentKey::WithKey,
        current_key_id: Some("alias/old".parse().unwrap()),
        query_results: true,
        resources: vec!["arn:aws:logs:eu-west-1:111122223333:log-group:/app/a".parse().unwrap()],
    };
    let text = serde_json::to_string(&selection).unwrap();
    assert_eq!(serde_json::from_str::<Selection>(&text).unwrap(), selection, "{text}");
    let principal = testing::principal("a", &["logkey:bulk"]);
    let creator = crate::domain::fleet::Creator::from(&principal);
    let text = serde_json::to_string(&creator).unwrap();
    let read = serde_json::from_str::<crate::domain::fleet::Creator>(&text).unwrap().to_principal();
    assert_eq!(read.scopes, principal.scopes);
    assert_eq!(Arc::clone(&read.subject), principal.subject);
}
