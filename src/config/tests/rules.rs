//! `[fleet]` and the encryption rules of tenants.

use super::*;
use crate::domain::{
    fleet::{FleetSettings, RuleMode},
    time::Timestamp,
};

const RULE: &str = "[[tenants.rules]]\nid = \"baseline\"\nkms_key = \"alias/logs\"\nmode = \"enforce\"\n";

/// The diagnostics of the smallest configuration followed by `text`.
fn diagnostics_after(text: &str) -> Vec<String> {
    load(&format!("{MINIMAL}{text}"), &[]).map(|settings| format!("{settings:?}")).unwrap_err()
}

#[test]
fn the_fleet_has_the_documented_defaults() {
    let settings = load(MINIMAL, &[]).unwrap();
    assert_eq!(settings.fleet.settings, FleetSettings::default());
    assert_eq!(settings.fleet.queue_url, None);
    let fleet = "[fleet]\ninterval = \"1s\"\nmax_items = 5\nmax_open_jobs = 2\nretention = \"1d\"\n\
                 events = { queue_url = \"https://sqs.eu-west-1.amazonaws.com/999999999999/events\" }\n";
    let settings = load(&format!("{fleet}{MINIMAL}"), &[]).unwrap();
    let expected = FleetSettings {
        interval: Duration::from_secs(1),
        max_items: 5,
        max_open_jobs: 2,
        retention: Duration::from_hours(24),
    };
    assert_eq!(settings.fleet.settings, expected);
    assert!(settings.fleet.queue_url.is_some());
}

#[test]
fn a_rule_of_a_tenant_is_read_with_every_key() {
    let rule = "\
display_name = \"All log groups\"
account_ids = [\"111122223333\"]
regions = [\"eu-west-1\"]
log_groups = [\"/payments/*\"]
exclude = [\"/payments/tmp/*\"]
priority = -5
max_changes = 0
exemptions = [
  { pattern = \"/payments/debug/*\", reason = \"no customer data\", expires = 2999-12-31 },
  { pattern = \"/payments/a\", reason = \"ticket 1\", expires = \"2999-12-31T01:00:00+01:00\" },
  { pattern = \"/payments/b\", reason = \"ticket 2\" },
]
";
    let settings = load(&format!("{MINIMAL}{RULE}{rule}"), &[]).unwrap();
    assert_eq!(warnings(&settings), NO_WARNINGS);
    let tenant = settings.tenants.find(&"payments".parse().unwrap()).unwrap();
    let [rule] = &tenant.rules[..] else { panic!("{:?}", tenant.rules) };
    let definition = &rule.definition;
    assert_eq!((rule.id.as_str(), definition.mode), ("baseline", RuleMode::Enforce));
    assert_eq!((definition.priority, definition.max_changes), (-5, 0));
    assert_eq!((definition.selection.log_groups.len(), definition.selection.exclude.len()), (1, 1));
    let ends: Vec<_> = definition.exemptions.iter().map(|exemption| exemption.expires).collect();
    let end = Some(Timestamp::from_secs(32_503_593_600));
    assert_eq!(ends, [end, end, None]);
    let plain = load(&format!("{MINIMAL}{RULE}"), &[]).unwrap();
    assert_eq!(plain.tenants.iter().next().unwrap().rules[0].definition.max_changes, 100);
}

#[test]
fn each_problem_of_a_rule_is_reported_with_what_to_write() {
    let other_key = "kms_key = \"arn:aws:kms:us-east-1:111122223333:key/1\"";
    let foreign_key = "kms_key = \"arn:aws:kms:eu-west-1:999999999999:key/1\"";
    let cases = [
        (RULE.replace("\"baseline\"", "\"a b\""), "rules[0].id is not the id of an encryption rule"),
        (
            RULE.replace("\"baseline\"", "\"01890a5d-ac96-774b-bcce-b302099a8057\""),
            "rules[0].id is a UUID, and the service uses these",
        ),
        (format!("{RULE}{RULE}"), "rules[1].id is already used at "),
        (RULE.replace("id = \"baseline\"", ""), "rules[0].id is required"),
        (RULE.replace("kms_key = \"alias/logs\"", ""), "rules[0].kms_key is required"),
        (RULE.replace("alias/logs", "alias/"), "rules[0].kms_key does not name a KMS key"),
        (
            RULE.replace("alias/logs", "arn:aws:iam::111122223333:role/x"),
            "rules[0].kms_key is not the ARN of a KMS key",
        ),
        (RULE.replace("kms_key = \"alias/logs\"", other_key), "rules[0].kms_key is in a Region that"),
        (RULE.replace("kms_key = \"alias/logs\"", foreign_key), "rules[0].kms_key is not granted"),
        (RULE.replace("mode = \"enforce\"", ""), "rules[0].mode is required"),
        (RULE.replace("enforce", "ENFORCE"), "rules[0].mode is not a known value"),
        (format!("{RULE}account_ids = [\"999999999999\"]\n"), "account_ids contains an account that"),
        (format!("{RULE}account_ids = [\"1\"]\n"), "account_ids[0] is not an AWS account id"),
        (format!("{RULE}account_ids = []\n"), "account_ids is an empty list"),
        (format!("{RULE}regions = [\"us-east-1\"]\n"), "regions contains a Region that"),
        (format!("{RULE}regions = [\"Europe\"]\n"), "regions[0] is not an AWS Region"),
        (format!("{RULE}log_groups = [\"/a/?\"]\n"), "log_groups[0] contains '?'"),
        (format!("{RULE}exclude = [\"\"]\n"), "exclude[0] is empty"),
        (format!("{RULE}priority = \"first\"\n"), "priority is not a whole number from -2147483648"),
        (format!("{RULE}max_changes = -1\n"), "max_changes is not a whole number from 0"),
        (format!("{RULE}display_name = \"{}\"\n", "x".repeat(129)), "display_name is longer than 128"),
        (format!("{RULE}exemptions = [{{ reason = \"x\" }}]\n"), "exemptions[0].pattern is required"),
        (format!("{RULE}exemptions = [{{ pattern = \"*\" }}]\n"), "exemptions[0].reason is required"),
        (
            format!("{RULE}exemptions = [{{ pattern = \"*\", reason = \"x\", expires = \"soon\" }}]\n"),
            "exemptions[0].expires is not a time",
        ),
        (
            format!(
                "{RULE}exemptions = [{{ pattern = \"*\", reason = \"x\", expires = 2030-01-01T00:00:00 }}]\n"
            ),
            "exemptions[0].expires is not a time",
        ),
        (format!("{RULE}prioritty = 1\n"), "did you mean tenants[0].rules[0].priority?"),
        ("[[tenants.rules]]\n[fleet]\ninterval = \"500ms\"\n".to_owned(), "fleet.interval is out of range"),
        ("[fleet]\nmax_items = 0\n".to_owned(), "fleet.max_items is not a whole number from 1"),
        ("[fleet.events]\n".to_owned(), "fleet.events.queue_url is required"),
        (
            "[fleet.events]\nqueue_url = \"events\"\n".to_owned(),
            "fleet.events.queue_url is not a URL such as",
        ),
    ];
    for (text, expected) in cases {
        let diagnostics = diagnostics_after(&text);
        assert!(
            diagnostics.iter().any(|diagnostic| diagnostic.contains(expected)),
            "{expected}\n{diagnostics:#?}"
        );
    }
}

#[test]
fn what_has_no_effect_in_a_rule_is_a_warning() {
    let regions = MINIMAL.replace("[\"eu-west-1\"]", "[\"eu-west-1\", \"us-east-1\"]");
    let arn = RULE.replace("alias/logs", "arn:aws:kms:eu-west-1:111122223333:key/1");
    let cases = [
        (
            format!(
                "{MINIMAL}{RULE}exemptions = [{{ pattern = \"*\", reason = \"x\", expires = 2001-01-01 }}]\n"
            ),
            "exemptions[0].expires is in the past",
        ),
        (format!("{MINIMAL}{RULE}query_results = true\n"), "query_results has no effect"),
        (format!("{regions}{arn}"), "kms_key is an ARN, which is valid only in its Region"),
    ];
    for (text, expected) in cases {
        let warnings = load(&text, &[]).unwrap().warnings;
        assert!(warnings.iter().any(|it| it.to_string().contains(expected)), "{expected}\n{warnings:#?}");
    }
}
