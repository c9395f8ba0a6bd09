use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config::EmptyEnv;

/// The exit code, standard output and standard error of a check of `text`.
fn checked(text: &str) -> (ExitCode, String, String) {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("logkey.toml");
    fs::write(&config, text).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = check(&CheckArgs { config }, &EmptyEnv, &mut out, &mut err).unwrap();
    let text =
        |bytes| String::from_utf8(bytes).unwrap().replace(&format!("{}/", folder.path().display()), "");
    (code, text(out), text(err))
}

#[test]
fn what_can_be_used_is_summed_up_in_a_line() {
    let (code, out, err) = checked(include_str!("../../../deploy/logkey.example.toml"));
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(out, "logkey.toml can be used: 1 tenant, 1 account, 1 issuer\n");
    assert_eq!(err, "");
}

#[test]
fn every_fault_stands_on_a_line_of_its_own_and_nothing_else_is_said() {
    let (code, out, err) = checked("[server]\nlisten = 1\n[store]\nurl = \"x\"\n");
    assert_eq!(code, ExitCode::from(2));
    assert_eq!(out, "");
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 4, "{err}");
    assert!(lines[0].starts_with("logkey.toml:1:1: auth.issuers is required"), "{err}");
    assert!(lines[1].starts_with("logkey.toml:2:10: server.listen is not text"), "{err}");
    assert!(lines[2].starts_with("logkey.toml:4:7: store.url is not the URL of a store"), "{err}");
    assert_eq!(lines[3], "3 faults");
}

#[test]
fn suspended_tenants_and_policies_are_counted_too() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("logkey.toml");
    let text = include_str!("../../../deploy/logkey.example.toml");
    let text = text.replace("#suspended = false", "suspended = true") + "[policy]\ndir = \".\"\n";
    fs::write(&config, text.replace("#[policy]", "#")).unwrap();
    for name in ["a.cedar", "b.cedar"] {
        fs::write(folder.path().join(name), "forbid (principal, action, resource);").unwrap();
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = check(&CheckArgs { config }, &EmptyEnv, &mut out, &mut err).unwrap();
    assert_eq!(code, ExitCode::SUCCESS, "{}", String::from_utf8(err).unwrap());
    let out = String::from_utf8(out).unwrap();
    assert!(out.ends_with("1 tenant, 1 account, 1 issuer, 2 files of policies, 1 suspended\n"), "{out}");
}

#[test]
fn a_warning_does_not_make_a_configuration_unusable() {
    let (code, out, err) = checked("[[auth.issuers]]\nissuer = \"https://idp.example.com\"\n");
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(out.ends_with("0 tenants, 0 accounts, 1 issuer\n"), "{out}");
    assert!(err.starts_with("warning: logkey.toml:1:1: tenants is empty"), "{err}");
}

#[test]
fn patterns_that_do_not_fit_into_a_session_policy_are_told_where_they_stand() {
    let text = include_str!("../../../deploy/logkey.example.toml");
    let line = text.lines().find(|line| line.starts_with("log_groups = ")).unwrap();
    let many: Vec<String> = (0..40).map(|n| format!("\"/team-{n}/a-rather-long-name/*\"")).collect();
    let text = text.replace(line, &format!("log_groups = [{}]", many.join(", ")));
    let (code, out, err) = checked(&text);
    assert_eq!(code, ExitCode::SUCCESS, "{out}{err}");
    let at = text.lines().position(|line| line.starts_with("log_groups = ")).unwrap() + 1;
    assert!(err.starts_with(&format!("warning: logkey.toml:{at}:")), "{err}");
    assert!(err.contains("into the 2,048 characters of a session policy"), "{err}");
}
