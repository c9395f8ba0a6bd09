use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config::EmptyEnv;

fn args(config: std::path::PathBuf) -> CheckArgs {
    CheckArgs { config: config.into(), output: OutputArgs::default() }
}

/// Checks `text`; returns whether it is valid, standard output and standard error.
fn check_text(text: &str) -> (bool, String, String) {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("logkey.toml");
    fs::write(&config, text).unwrap();
    let checked = check(&args(config), &EmptyEnv);
    let text = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
    (checked.is_valid, text(checked.report.to_text()), text(checked.messages.join("\n")))
}

#[test]
fn a_valid_configuration_is_summarized_in_one_line() {
    let (valid, out, err) = check_text(include_str!("../../../deploy/logkey.example.toml"));
    assert!(valid);
    let expected = "\
logkey.toml is valid: 1 tenant, 1 account, 1 issuer
issuer https://idp.example.com may grant: 1 tenant (payments); any scope but logkey:admin";
    assert_eq!(out, expected);
    assert_eq!(err, "");
}

#[test]
fn the_output_names_the_issuers_that_may_grant_admin() {
    let text = include_str!("../../../deploy/logkey.example.toml");
    let operators = "[[auth.issuers]]\nissuer = \"https://operators.example.com\"\nmay_grant_admin = true\n\n[limits.tenant]";
    let (valid, out, _err) = check_text(&text.replacen("[limits.tenant]", operators, 1));
    assert!(valid);
    let line = "issuer https://operators.example.com may grant: 0 tenants; any scope, also logkey:admin, which reads the data of all tenants";
    assert!(out.ends_with(line), "{out}");
}

#[test]
fn default_scopes_cannot_grant_admin_unless_the_issuer_may() {
    let issuer =
        "[[auth.issuers]]\nissuer = \"https://idp.example.com\"\ndefault_scopes = [\"logkey:admin\"]\n";
    let (valid, _out, err) = check_text(issuer);
    assert!(!valid);
    assert!(err.contains("default_scopes contains logkey:admin"), "{err}");
    let (valid, ..) = check_text(&format!("{issuer}may_grant_admin = true\n"));
    assert!(valid);
}

#[test]
fn each_problem_is_one_line_and_the_last_line_counts_them() {
    let (valid, out, err) = check_text("[server]\nlisten = 1\n[store]\nurl = \"x\"\n");
    assert!(!valid);
    assert_eq!(out, "");
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 4, "{err}");
    assert!(lines[0].starts_with("logkey.toml:1:1: auth.issuers is required"), "{err}");
    assert!(lines[1].starts_with("logkey.toml:2:10: server.listen is not a string"), "{err}");
    assert!(lines[2].starts_with("logkey.toml:4:7: store.url is not the URL of a store"), "{err}");
    assert_eq!(lines[3], "3 problems");
}

#[test]
fn the_summary_counts_suspended_tenants_and_policy_files() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("logkey.toml");
    let text = include_str!("../../../deploy/logkey.example.toml");
    let text = text.replace("#suspended = false", "suspended = true") + "[policy]\ndir = \".\"\n";
    fs::write(&config, text.replace("#[policy]", "#")).unwrap();
    for name in ["a.cedar", "b.cedar"] {
        fs::write(folder.path().join(name), "forbid (principal, action, resource);").unwrap();
    }
    let checked = check(&args(config), &EmptyEnv);
    assert!(checked.is_valid, "{:?}", checked.messages);
    let out = checked.report.to_text();
    let (summary, _issuers) = out.split_once('\n').unwrap();
    assert!(summary.ends_with("1 tenant, 1 account, 1 issuer, 2 policy files, 1 suspended tenant"), "{out}");
}

#[test]
fn a_configuration_with_only_warnings_is_valid() {
    let (valid, out, err) = check_text("[[auth.issuers]]\nissuer = \"https://idp.example.com\"\n");
    assert!(valid);
    assert!(out.contains("0 tenants, 0 accounts, 1 issuer\n"), "{out}");
    assert!(err.contains("warning: logkey.toml:1:1: tenants is empty"), "{err}");
}

#[test]
fn a_warning_locates_patterns_too_long_for_a_session_policy() {
    let text = include_str!("../../../deploy/logkey.example.toml");
    let line = text.lines().find(|line| line.starts_with("log_groups = ")).unwrap();
    let many: Vec<String> = (0..40).map(|n| format!("\"/team-{n}/a-rather-long-name/*\"")).collect();
    let text = text.replace(line, &format!("log_groups = [{}]", many.join(", ")));
    let (valid, out, err) = check_text(&text);
    assert!(valid, "{out}{err}");
    let at = text.lines().position(|line| line.starts_with("log_groups = ")).unwrap() + 1;
    assert!(err.starts_with(&format!("warning: logkey.toml:{at}:")), "{err}");
    assert!(err.contains("into the 2,048 characters of a session policy"), "{err}");
}
