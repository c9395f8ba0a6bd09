//! Tenants, their grants and their files.

use super::*;

#[test]
fn a_role_of_another_account_is_rejected() {
    let diagnostics = load(&MINIMAL.replace("iam::111122223333", "iam::999922223333"), &[]).unwrap_err();
    assert_eq!(diagnostics.len(), 1);
    assert!(
        diagnostics[0].contains("role_arn belongs to a different account than account_id"),
        "{diagnostics:?}"
    );
}

#[test]
fn a_role_and_its_regions_must_be_in_one_partition() {
    let diagnostics = load(&MINIMAL.replace("eu-west-1", "cn-north-1"), &[]).unwrap_err();
    assert_eq!(diagnostics.len(), 1);
    assert!(
        diagnostics[0].contains("regions contains a Region of a different AWS partition"),
        "{diagnostics:?}"
    );
}

#[test]
fn every_partition_of_aws_is_supported() {
    for (partition, region) in [
        ("aws-cn", "cn-northwest-1"),
        ("aws-us-gov", "us-gov-east-1"),
        ("aws-eusc", "eusc-de-east-1"),
        ("aws-iso", "us-iso-east-1"),
        ("aws-iso-b", "us-isob-east-1"),
        ("aws-iso-e", "eu-isoe-west-1"),
        ("aws-iso-f", "us-isof-south-1"),
    ] {
        let text = MINIMAL.replace("arn:aws:iam", &format!("arn:{partition}:iam"));
        assert!(load(&text.replace("eu-west-1", region), &[]).is_ok(), "{partition}");
        assert!(load(&text, &[]).is_err(), "{partition}");
    }
}

#[test]
fn lists_that_grant_something_must_not_be_empty() {
    for key in ["log_groups", "kms_keys", "regions"] {
        let line = MINIMAL.lines().find(|line| line.starts_with(key)).unwrap();
        let diagnostics = load(&MINIMAL.replace(line, &format!("{key} = []")), &[]).unwrap_err();
        assert!(diagnostics[0].contains("is an empty list: write at least one value"), "{diagnostics:?}");
    }
    assert!(load(&format!("[server]\ntrusted_proxies = []\n{MINIMAL}"), &[]).is_ok());
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// No value makes the reader panic, and no diagnostic repeats a value.
    #[test]
    fn no_diagnostic_repeats_a_value(choices in proptest::collection::vec((0_usize..9, 0_usize..12), 8)) {
        let example = include_str!("../../../deploy/logkey.example.toml");
        let mut lines: Vec<String> = example
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned())
            .collect();
        let values = [
            "\"hunter2\"", "'hunter2'", "-7", "1e400", "true", "[\"hunter2\"]", "[[\"hunter2\"], 1]",
            "{ listen = \"hunter2\" }", "2026-11-23", "\"\"", "[]", "hunter2",
        ];
        let keys = lines.iter().filter(|line| line.contains(" = ")).count();
        for (at, (skip, value)) in choices.into_iter().enumerate() {
            let nth = (at * 9 + skip) % keys;
            let line = lines.iter_mut().filter(|line| line.contains(" = ")).nth(nth).unwrap();
            let (key, _) = line.split_once(" = ").unwrap();
            *line = format!("{key} = {}", values[value]);
        }
        if let Err(diagnostics) = load(&lines.join("\n"), &[]) {
            // A diagnostic may repeat a path, so that it can say which file is missing.
            let repeats = |diagnostic: &String| diagnostic.contains("hunter") && !diagnostic.contains(" refers to ");
            proptest::prop_assert!(!diagnostics.iter().any(repeats), "{:#?}", diagnostics);
        }
    }
}

#[test]
fn a_duplicate_is_reported_with_both_places() {
    let tenant = MINIMAL.split_once("[[tenants]]").unwrap().1;
    let text = format!("{MINIMAL}[[tenants]]{tenant}");
    let diagnostics = load(&text, &[]).unwrap_err();
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    assert!(
        diagnostics[0].starts_with("logkey.toml:16:6: tenants[1].id is already used at "),
        "{diagnostics:?}"
    );
    assert!(diagnostics[0].contains("logkey.toml:6:6: give each"), "{diagnostics:?}");

    let other =
        "[[tenants]]\nid = \"b\"\nissuers = [\"https://idp.example.com\"]\nclaim_values = [\"payments\"]\n";
    let diagnostics = load(&format!("{MINIMAL}{other}"), &[]).unwrap_err();
    assert!(
        diagnostics[0].contains("claim_values contains a value that already identifies the tenant at "),
        "{diagnostics:?}"
    );

    let issuer = "[[auth.issuers]]\nissuer = \"https://idp.example.com\"\n";
    let diagnostics = load(&format!("{issuer}{MINIMAL}"), &[]).unwrap_err();
    assert!(diagnostics[0].contains("auth.issuers[1].issuer is already defined at "), "{diagnostics:?}");
}

#[test]
fn a_tenants_dir_file_has_one_tenant_or_a_list_and_is_named_in_problems() {
    let one = "id = \"one\"\nissuers = [\"https://idp.example.com\"]\nsuspended = true\n";
    let list = "[[tenants]]\nid = \"two\"\nissuers = [\"https://idp.example.com\"]\n";
    let main = format!("tenants_dir = \"tenants.d\"\n{MINIMAL}");
    let good = [
        ("logkey.toml", &*main),
        ("tenants.d/one.toml", one),
        ("tenants.d/two.toml", list),
        ("tenants.d/.x.toml", "?"),
    ];
    let settings = load_in(folder(&good).path(), &[]).unwrap();
    assert_eq!(settings.tenants.len(), 3);
    assert!(settings.tenants.find(&"one".parse().unwrap()).unwrap().suspended);

    let bad = [
        ("logkey.toml", &*main),
        ("tenants.d/one.toml", "id = 1\nname = \"x\"\n"),
        ("tenants.d/two.toml", "id =\n"),
    ];
    let diagnostics = load_in(folder(&bad).path(), &[]).unwrap_err();
    let locations: Vec<_> =
        diagnostics.iter().map(|diagnostic| diagnostic.split(": ").next().unwrap()).collect();
    assert_eq!(
        locations,
        [
            "tenants.d/one.toml:1:1",
            "tenants.d/one.toml:1:6",
            "tenants.d/one.toml:2:1",
            "tenants.d/two.toml:1:5"
        ]
    );
}
