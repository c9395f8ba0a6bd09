use super::error::SeedErrors;
use crate::{clock::Clock, sandbox::Sandbox};

fn load(text: &str) -> Result<Sandbox, SeedErrors> {
    Sandbox::new(&text.parse()?, Clock::default())
}

#[test]
fn a_seed_becomes_accounts_roles_keys_and_groups() {
    let sandbox = load(
        r#"
        [quotas]
        AssociateKmsKey = { per_second = 1, burst = 2 }
        [[accounts]]
        account_id = "111122223333"
        [[accounts.roles]]
        name = "LogKeyAssociator"
        external_id = "ext-1"
        [[accounts.keys]]
        id = "k1"
        region = "eu-west-1"
        policy = "allow-logs"
        aliases = ["alias/logs"]
        [[accounts.log_groups]]
        name = "/app/{n}"
        region = "eu-west-1"
        key = "k1"
        count = 3
        "#,
    )
    .unwrap();
    let key = "arn:aws:kms:eu-west-1:111122223333:key/k1";
    for n in 0..3 {
        let name = format!("/app/{n}");
        let found = sandbox.log_group_key("111122223333", "eu-west-1", &name);
        assert_eq!(found.as_deref(), Some(key));
    }
    let account = sandbox.0.state.account("111122223333").unwrap();
    assert!(account.role("LogKeyAssociator").is_some());
    let region = account.region("eu-west-1").unwrap();
    assert_eq!(region.keys().aliased("alias/logs").unwrap().arn, key);
    assert!(account.region("us-east-1").is_none());
}

#[test]
fn every_parse_error_is_reported_at_once_with_its_location() {
    let text = r#"
        surprise = 1
        [[accounts]]
        account_id = "111122223333"
        wonder = 2
        [[accounts.roles]]
        name = "R"
        colour = "red"
        [[accounts.roles]]
        name = "a b"
        [[accounts.keys]]
        id = 7
        region = "eu-west-1"
        [[accounts.log_groups]]
        name = "/a"
        region = "eu-west-1"
        key = "7"
        [[accounts]]
        regions = ["nowhere"]
        "#;
    let SeedErrors(diagnostics) = load(text).unwrap_err();
    let mut locations: Vec<&str> = diagnostics.iter().map(|error| error.location.as_str()).collect();
    locations.sort_unstable();
    let expected = [
        "account 111122223333, role a b",
        "accounts[0].keys[0]",
        "accounts[0].roles[0]",
        "accounts[0].wonder",
        "accounts[1]",
        "surprise",
    ];
    assert_eq!(locations, expected);
}

#[test]
fn every_invalid_value_is_reported_at_once() {
    let text = r#"
        [[accounts]]
        account_id = "1"
        query_results = { nowhere = "k9" }
        [[accounts.roles]]
        name = "R"
        external_id = "x"
        policy = "{"
        [[accounts.keys]]
        id = "k"
        region = "eu-west-1"
        state = "Asleep"
        policy = "allow-everything"
        aliases = ["logs"]
        [[accounts.log_groups]]
        name = "a b"
        region = "eu-west-1"
        class = "GOLD"
        retention_days = 2
        count = 2
        key = "k2"
        "#;
    let message = load(text).unwrap_err().to_string();
    for part in [
        "twelve digits",
        "`nowhere` is not a Region",
        "there is no key arn:aws:kms:nowhere:1:key/k9",
        "external_id",
        "policy: not a policy document",
        "state `Asleep`",
        "expected JSON or one of allow-logs",
        "alias logs must start with alias/",
        "'a b' at 'logGroupName'",
        "class `GOLD`",
        "retention_days must be one of",
        "must contain {n}",
        "there is no key arn:aws:kms:eu-west-1:1:key/k2",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn invalid_toml_is_reported_with_its_line() {
    let SeedErrors(diagnostics) = load("[hub]\narn =\n").unwrap_err();
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(diagnostics[0].location, "line 2");
}

#[test]
fn a_later_seed_replaces_objects_of_the_same_name_and_keeps_the_rest() {
    let seed = |key: &str| {
        format!(
            "[[accounts]]\naccount_id = \"111122223333\"\n[[accounts.keys]]\nid = \"{key}\"\nregion = \"eu-west-1\"\n\
             [[accounts.log_groups]]\nname = \"/a\"\nregion = \"eu-west-1\"\nkey = \"{key}\"\n"
        )
    };
    let sandbox = load(&seed("k1")).unwrap();
    sandbox.apply(&seed("k2").parse().unwrap()).unwrap();
    let found = sandbox.log_group_key("111122223333", "eu-west-1", "/a");
    assert!(found.unwrap().ends_with("/k2"));
    let account = sandbox.0.state.account("111122223333").unwrap();
    let region = account.region("eu-west-1").unwrap();
    assert!(region.keys().key("k1").is_some());
}
