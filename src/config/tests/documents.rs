//! The documentation of the keys, the example, and the cost of many tenants.

use super::*;

#[test]
fn the_documentation_lists_every_key_and_no_other() {
    let text = r#"
[server.tls]
[[auth.issuers]]
issuer = "https://idp.example.com"
[[limits.accounts]]
[[audit.sinks]]
type = "file"
[[audit.sinks]]
type = "cloudwatch_logs"
[fleet.events]
[telemetry.otlp]
[[tenants]]
[[tenants.accounts]]
[[tenants.rules]]
[[tenants.rules.exemptions]]
"#;
    let folder = folder(&[("logkey.toml", text)]);
    let reader = Reader::default();
    let (at, table) = reader.document(&folder.path().join("logkey.toml")).unwrap();
    read(&Section::root(at, &table, &reader), &EmptyEnv);
    // Tables are not settings.
    let requested_keys = reader.requested_keys.borrow();
    let is_table = |key: &String| {
        requested_keys
            .iter()
            .any(|other| other.starts_with(&format!("{key}.")) || other.starts_with(&format!("{key}[]")))
    };
    let read: Vec<_> = requested_keys.iter().filter(|key| !is_table(key)).map(String::as_str).collect();

    let documented = include_str!("../../../docs/configuration.md").lines();
    let mut documented: Vec<_> = documented
        .skip_while(|line| *line != "## `[server]`")
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    documented.sort_unstable();
    documented.dedup();
    assert_eq!(read, documented);
}

#[test]
fn the_example_is_valid_and_its_commented_settings_are_known() {
    let text = include_str!("../../../deploy/logkey.example.toml");
    let settings = load(text, &[]).unwrap();
    assert_eq!((settings.tenants.len(), settings.warnings), (1, vec![]));

    let uncommented: Vec<_> = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let diagnostics = load(&uncommented.join("\n"), &[]).unwrap_err();
    assert!(!diagnostics.iter().any(|diagnostic| diagnostic.contains("is not")), "{diagnostics:#?}");
    let missing = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.contains("there is no such file or folder"))
        .count();
    assert_eq!(missing, diagnostics.len(), "a diagnostic is not about a missing file: {diagnostics:#?}");
}

#[test]
fn loading_ten_thousand_tenants_costs_little_more_than_parsing_them() {
    let mut text = String::from("[[auth.issuers]]\nissuer = \"https://idp.example.com\"\n");
    for number in 0..10_000 {
        let tenant =
            MINIMAL.split_once("[[tenants]]").unwrap().1.replace("payments\"", &format!("t{number}\""));
        let account = tenant.split_once("[[tenants.accounts]]").unwrap().1;
        write!(text, "[[tenants]]{tenant}").unwrap();
        for more in ["222222222222", "333333333333"] {
            write!(text, "[[tenants.accounts]]{}", account.replace("111122223333", more)).unwrap();
        }
    }
    let started = Instant::now();
    toml::de::DeTable::parse(&text).unwrap();
    let parsed = started.elapsed();
    let started = Instant::now();
    let settings = load(&text, &[]).unwrap();
    let loaded = started.elapsed();
    assert_eq!(settings.tenants.len(), 10_000);
    assert!(loaded < 10 * parsed, "{loaded:?} against {parsed:?}");
}
