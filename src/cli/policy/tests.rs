use std::path::Path;

use clap::Parser;

use super::*;
use crate::config::EmptyEnv;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: PolicyArgs,
}

/// Runs `logkey policy` with the policies of deploy/policies; returns the exit code and the output.
fn policy(line: &[&str]) -> (ExitCode, String) {
    policy_with(&Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policies/logkey.toml"), line)
}

/// Runs `logkey policy` with this configuration.
fn policy_with(config: &Path, line: &[&str]) -> (ExitCode, String) {
    let line = ["policy"].iter().chain(line).map(|word| (*word).to_owned());
    let line = Line::parse_from(line.chain(["--config".into(), config.display().to_string()]));
    match execute(&line.args, &EmptyEnv) {
        Ok(answer) => (answer.code, answer.report.to_text()),
        Err(Invalid(reason)) => (ExitCode::from(2), reason),
    }
}

#[test]
fn the_example_policies_decide_as_their_table_says() {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/policies/tests.toml");
    let (code, out) = policy(&["test", table]);
    assert_eq!(code, ExitCode::SUCCESS, "{out}");
    assert!(out.ends_with("24 of 24 as expected"), "{out}");
}

#[test]
fn unexpected_decisions_are_printed_and_fail_the_test() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.toml");
    let case = |name: &str, group: &str, rest: &str| {
        format!(
            "[[case]]\nname = \"{name}\"\ncall = {{ tenant = \"payments\", action = \"GetKeyAssociation\", log_group = \"{group}\" }}\n{rest}\n"
        )
    };
    let text = case("wrong", "/search/x", "expect = \"allow\"")
        + &case("right", "/payments/x", "expect = \"allow\"")
        + &case("other policy", "/payments/x", "expect = \"allow\"\npolicies = [\"x\"]");
    std::fs::write(&table, text).unwrap();
    let (code, out) = policy(&["test", table.to_str().unwrap()]);
    assert_eq!(code, ExitCode::FAILURE);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "FAILED  wrong: not permitted");
    assert_eq!(lines[1], "ok      right");
    assert_eq!(lines[2], "FAILED  other policy: allow tenant/payments/111122223333/log-groups");
    assert_eq!(lines[3], "1 of 3 as expected");
}

#[test]
fn an_invalid_table_is_an_error_and_not_a_failed_test() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.toml");
    for text in [
        "case = 1",
        "[[case]]\nname = \"a\"\nexpect = \"allow\"\ncall = { tenant = \"nobody\", action = \"GetKeyAssociation\" }",
        "[[case]]\nname = \"a\"\nexpect = \"allow\"\ncall = { tenant = \"payments\", action = \"Drop\" }",
        "[[case]]\nname = \"a\"\nexpect = \"perhaps\"\ncall = { tenant = \"payments\", action = \"GetCaller\" }",
    ] {
        std::fs::write(&table, text).unwrap();
        let (code, reason) = policy(&["test", table.to_str().unwrap()]);
        assert_eq!(code, ExitCode::from(2), "{reason}");
        assert!(reason.contains("table.toml: "), "{reason}");
    }
    assert_eq!(policy(&["test", "/nonexistent.toml"]).0, ExitCode::from(2));
}

#[test]
fn show_prints_every_policy_that_applies_to_a_tenant() {
    let (code, out) = policy(&["show", "payments"]);
    assert_eq!(code, ExitCode::SUCCESS);
    for id in ["no-audit-logs", "break-glass/INC-4711", "tenant/payments/111122223333/log-groups"] {
        assert!(out.contains(&format!("@id(\"{id}\")")), "{id}: {out}");
    }
    assert!(!out.contains("an-external-id"));
    assert_eq!(policy(&["show", "nobody"]).0, ExitCode::from(2));
    assert!(policy(&["show", "--schema"]).1.contains("entity LogGroup in [Account]"));
}

#[test]
fn explain_reports_for_each_policy_whether_it_applies_and_why() {
    let (_, out) = policy(&[
        "explain",
        "--tenant",
        "payments",
        "--action",
        "DisassociateKmsKey",
        "--log-group",
        "/payments/audit",
        "--source",
        "10.0.0.1",
        "--claim",
        "org.department=risk",
        "--at",
        "2026-11-24T10:00:00Z",
    ]);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "forbid: no-audit-logs", "{out}");
    let line = |id: &str| *lines.iter().find(|line| line.trim_start().starts_with(id)).unwrap();
    assert_eq!(line("no-audit-logs"), "  no-audit-logs forbids");
    assert_eq!(
        line("tenant/payments/111122223333/log-groups"),
        "  tenant/payments/111122223333/log-groups permits"
    );
    assert!(line("break-glass").contains("would permit, but this is false: principal == "), "{out}");
    assert!(line("key-account").contains("would forbid, but this is false: action == "), "{out}");
    assert!(line("office-hours").contains("would forbid, but this is false: !("), "{out}");
    let (_, out) = policy(&["explain", "--tenant", "payments", "--action", "ListAuditEvents"]);
    assert!(out.starts_with("allow: tenant/payments/audit\n"), "{out}");
    let all = ["explain", "--tenant", "payments", "--action", "ListAuditEvents", "--all-tenants"];
    let (_, out) = policy(&all);
    assert!(out.contains("audit-of-all would permit, but this is false: principal.scopes.contains"), "{out}");
    let (_, out) = policy(&[
        "explain",
        "--tenant",
        "payments",
        "--action",
        "ListKeyAssociations",
        "--region",
        "us-east-1",
    ]);
    assert!(out.starts_with("not permitted: the tenant has no grant"), "{out}");
}

#[test]
fn explain_ignores_the_admin_scope_of_an_issuer_that_may_not_grant_it() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policies");
    let text = std::fs::read_to_string(examples.join("logkey.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("logkey.toml");
    let line = ["explain", "--tenant", "payments", "--action", "ListAuditEvents", "--all-tenants"];
    let line = [&line[..], &["--scopes", "logkey:admin"]].concat();
    std::fs::write(&config, &text).unwrap();
    let (_, out) = policy_with(&config, &line);
    assert!(out.contains("audit-of-all would permit, but this is false: principal.scopes.contains"), "{out}");
    let trusted = text.replacen("[[auth.issuers]]", "[[auth.issuers]]\nmay_grant_admin = true", 1);
    std::fs::write(&config, trusted).unwrap();
    let (_, out) = policy_with(&config, &line);
    assert!(out.starts_with("allow: tenant/payments/audit-of-all\n"), "{out}");
    let (_, out) = policy_with(&config, &[&line[..], &["--issuer", "https://other.example"]].concat());
    assert!(!out.starts_with("allow"), "{out}");
}

#[test]
fn explain_names_a_policy_that_denies_because_it_cannot_be_evaluated() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policies");
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(&examples).unwrap().map(|entry| entry.unwrap().path()) {
        if file.is_file() {
            std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    let args = ["explain", "--tenant", "payments", "--action", "GetKeyAssociation"];
    let args = [&args[..], &["--log-group", "/payments/x", "--at", "2026-11-24T10:00:00Z"]].concat();
    let config = folder.path().join("logkey.toml");
    let (_, out) = policy_with(&config, &args);
    assert!(out.starts_with("allow: tenant/payments/111122223333/log-groups\n"), "{out}");
    // The schema accepts it; the sum overflows only when there is an hour to add.
    for effect in ["forbid", "permit"] {
        let broken = format!(
            "@id(\"broken\") {effect} (principal, action, resource) when {{ 9223372036854775807 + context.hour == 0 }};"
        );
        std::fs::write(folder.path().join("broken.cedar"), broken).unwrap();
        let (code, out) = policy_with(&config, &args);
        assert_eq!(code, ExitCode::SUCCESS, "{out}");
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines[0], "undecided: broken", "{out}");
        let line = lines.iter().find(|line| line.trim_start().starts_with("broken ")).unwrap();
        assert!(line.starts_with("  broken cannot be evaluated, so the call is denied: "), "{out}");
        assert!(line.contains("overflow"), "the reason is missing: {out}");
    }
}

#[test]
fn a_policy_can_be_tried_for_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policies/logkey.toml");
    let config = folder.path().join("logkey.toml");
    std::fs::copy(example, &config).unwrap();
    let policy = r#"@id("only-alice") forbid (principal, action, resource)
        unless { principal has onBehalfOf && principal.onBehalfOf == "alice" };"#;
    std::fs::write(folder.path().join("only-alice.cedar"), policy).unwrap();
    let explain = |person: &[&str]| {
        let call = [
            "explain",
            "--tenant",
            "payments",
            "--action",
            "GetKeyAssociation",
            "--log-group",
            "/payments/x",
        ];
        policy_with(&config, &[&call, person].concat()).1
    };
    for person in [&["--on-behalf-of", "alice"][..], &["--subject", "alice", "--actor", "portal"]] {
        let out = explain(person);
        assert!(out.starts_with("allow"), "{person:?}: {out}");
    }
    for person in [&["--subject", "alice"][..], &["--on-behalf-of", "bob", "--actor", "alice"]] {
        let out = explain(person);
        assert!(out.starts_with("forbid: only-alice"), "{person:?}: {out}");
    }
}

#[test]
fn a_misspelled_name_is_refused_with_the_one_that_is_meant() {
    for (line, meant) in [
        (
            &["explain", "--tenant", "payments", "--action", "AsociateKmsKey"][..],
            "did you mean AssociateKmsKey?",
        ),
        (
            &["explain", "--tenant", "paymets", "--action", "GetCaller"],
            "tenant: there is no tenant paymets: did you mean payments?",
        ),
        (&["show", "paymets"], "there is no tenant paymets: did you mean payments?"),
    ] {
        let (code, reason) = policy(line);
        assert_eq!(code, ExitCode::from(2), "{line:?}: {reason}");
        assert!(reason.contains(meant), "{line:?}: {reason}");
    }
    let (code, reason) = policy(&["explain", "--tenant", "payments", "--action", "Drop"]);
    assert_eq!(code, ExitCode::from(2), "{reason}");
    assert!(!reason.contains("did you mean") && reason.contains("AssociateKmsKey, "), "{reason}");
    let (_, reason) = policy(&["show", "quite-another"]);
    assert_eq!(reason, "there is no tenant quite-another");
}
