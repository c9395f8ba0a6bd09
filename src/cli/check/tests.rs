use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config::EmptyEnv;

/// Checks `text`; returns the exit code, standard output and standard error.
fn check_text(text: &str) -> (ExitCode, String, String) {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("logkey.toml");
    fs::write(&config, text).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = check(&CheckArgs { config: config.into() }, &EmptyEnv, &mut out, &mut err).unwrap();
    let text =
        |bytes| String::from_utf8(bytes).unwrap().replace(&format!("{}/", folder.path().display()), "");
    (code, text(out), text(err))
}

#[test]
fn a_valid_configuration_is_summarized_in_one_line() {
    let (code, out, err) = check_text(include_str!("../../../deploy/logkey.example.toml"));
    assert_eq!(code, ExitCode::SUCCESS);
    let expected = "\
logkey.toml is valid: 1 tenant, 1 account, 1 issuer
issuer https://idp.example.com may grant: 1 tenant (payments); any scope but logkey:admin
";
    assert_eq!(out, expected);
    assert_eq!(err, "");
}

#[test]
fn the_output_names_the_issuers_that_may_grant_admin() {
    let text = include_str!("../../../deploy/logkey.example.toml");
    let operators = "[[auth.issuers]]\nissuer = \"https://operators.example.com\"\nmay_grant_admin = true\n\n[limits.tenant]";
    let (code, out, _err) = check_text(&text.replacen("[limits.tenant]", operators, 1));
    assert_eq!(code, ExitCode::SUCCESS);
    let line = "issuer https://operators.example.com may grant: 0 tenants; any scope, also logkey:admin, which reads the data of all tenants\n";
    assert!(out.ends_with(line), "{out}");
}

#[test]
fn default_scopes_cannot_grant_admin_unless_the_issuer_may() {
    let issuer =
        "[[auth.issuers]]\nissuer = \"https://idp.example.com\"\ndefault_scopes = [\"logkey:admin\"]\n";
    let (code, _out, err) = check_text(issuer);
    assert_eq!(code, ExitCode::from(2));
    assert!(err.contains("default_scopes contains logkey:admin"), "{err}");
    let (code, ..) = check_text(&format!("{issuer}may_grant_admin = true\n"));
    assert_eq!(code, ExitCode::SUCCESS);
}

#[test]
fn each_problem_is_one_line_and_the_last_line_counts_them() {
    let (code, out, err) = check_text("[server]\nlisten = 1\n[store]\nurl = \"x\"\n");
    assert_eq!(code, ExitCode::from(2));
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
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = check(&CheckArgs { config: config.into() }, &EmptyEnv, &mut out, &mut err).unwrap();
    assert_eq!(code, ExitCode::SUCCESS, "{}", String::from_utf8(err).unwrap());
    let out = String::from_utf8(out).unwrap();
    let (summary, _issuers) = out.split_once('\n').unwrap();
    assert!(summary.ends_with("1 tenant, 1 account, 1 issuer, 2 policy files, 1 suspended tenant"), "{out}");
}

#[test]
fn a_configuration_with_only_warnings_is_valid() {
    let (code, out, err) = check_text("[[auth.issuers]]\nissuer = \"https://idp.example.com\"\n");
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(out.contains("0 tenants, 0 accounts, 1 issuer\n"), "{out}");
    assert!(err.starts_with("warning: logkey.toml:1:1: tenants is empty"), "{err}");
}

#[test]
fn a_warning_locates_patterns_too_long_for_a_session_policy() {
    let text = include_str!("../../../deploy/logkey.example.toml");
    let line = text.lines().find(|line| line.starts_with("log_groups = ")).unwrap();
    let many: Vec<String> = (0..40).map(|n| format!("\"/team-{n}/a-rather-long-name/*\"")).collect();
    let text = text.replace(line, &format!("log_groups = [{}]", many.join(", ")));
    let (code, out, err) = check_text(&text);
    assert_eq!(code, ExitCode::SUCCESS, "{out}{err}");
    let at = text.lines().position(|line| line.starts_with("log_groups = ")).unwrap() + 1;
    assert!(err.starts_with(&format!("warning: logkey.toml:{at}:")), "{err}");
    assert!(err.contains("into the 2,048 characters of a session policy"), "{err}");
}
