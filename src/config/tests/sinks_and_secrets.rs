//! The configuration of sinks, secrets and certificates.

use super::*;

#[test]
fn each_sink_has_a_name_and_may_read_its_secret_from_a_file() {
    let sinks = r#"
[[audit.sinks]]
type = "stdout"
[[audit.sinks]]
type = "file"
name = "disk"
path = "audit.jsonl"
[[audit.sinks]]
type = "cloudwatch_logs"
role_arn = "arn:aws:iam::999999999999:role/LogKeyAuditSink"
external_id_file = "sink-id"
region = "eu-west-1"
log_group = "/logkey/audit"
"#;
    let text = format!("{sinks}{MINIMAL}");
    let folder = folder(&[("logkey.toml", &text), ("sink-id", "operators-id\n")]);
    let settings = load_in(folder.path(), &[]).unwrap();
    let [stdout, file, stream] = &settings.audit.sinks[..] else { panic!("{:?}", settings.audit.sinks) };
    assert_eq!((&*stdout.name, &stdout.to), ("stdout", &SinkTarget::Stdout));
    assert_eq!(&*file.name, "disk");
    let SinkTarget::File(file) = &file.to else { panic!("{file:?}") };
    assert_eq!(
        (file.path.clone(), file.max_bytes, file.keep),
        (folder.path().join("audit.jsonl"), 100 << 20, 10)
    );
    let SinkTarget::LogStream(stream) = &stream.to else { panic!("{stream:?}") };
    assert_eq!(stream.external_id.as_ref().unwrap().expose(), "operators-id");
    assert_eq!(&*stream.log_stream, "logkey");
    assert!(!format!("{settings:?}").contains("operators-id"));
}

#[test]
fn patterns_too_long_for_a_session_policy_cause_a_warning() {
    let with = |patterns: usize| {
        let patterns: Vec<_> = (0..patterns).map(|n| format!("\"/team-{n}/a-rather-long-name/*\"")).collect();
        let line = MINIMAL.lines().find(|line| line.starts_with("log_groups")).unwrap();
        let text = MINIMAL.replace(line, &format!("log_groups = [{}]", patterns.join(", ")));
        warnings(&load(&text, &[]).unwrap())
    };
    assert_eq!(with(10), NO_WARNINGS);
    let warnings = with(40);
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("log_groups does not fit"), "{warning}");
}

#[cfg(unix)]
#[test]
fn a_secret_file_that_everybody_may_read_causes_a_warning() {
    use std::os::unix::fs::PermissionsExt;

    let text = MINIMAL.replace("external_id = \"kept-between-us\"", "external_id_file = \"secret\"");
    let folder = folder(&[("logkey.toml", &text), ("secret", "kept-between-us")]);
    let secret = folder.path().join("secret");
    for (mode, expected) in [(0o644, 1), (0o600, 0)] {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        let settings = load_in(folder.path(), &[]).unwrap();
        assert_eq!(warnings(&settings).len(), expected, "{mode:o}: {:?}", settings.warnings);
    }
}

#[test]
fn a_missing_or_invalid_secret_is_reported_with_its_file() {
    let text = MINIMAL.replace("external_id = \"kept-between-us\"", "external_id_file = \"secret\"");
    let missing = load(&text, &[]).unwrap_err();
    assert_eq!(
        missing,
        [
            "logkey.toml:11:20: tenants[0].accounts[0].external_id_file refers to secret: there is no such file or \
          folder"
        ]
    );
    let folder = folder(&[("logkey.toml", &text), ("secret", "hunter 2")]);
    let unusable = load_in(folder.path(), &[]).unwrap_err();
    assert!(unusable[0].contains("refers to secret, whose content is not an external id; "), "{unusable:?}");
    let both = MINIMAL.replace("external_id =", "external_id_file = \"x\"\nexternal_id =");
    assert!(load(&both, &[]).unwrap_err()[0].ends_with("and external_id are both set: keep one of them"));
}

#[test]
fn plain_text_is_only_for_loopback_addresses_unless_allowed() {
    let diagnostics = diagnostics_with("[server]\nlisten = \"0.0.0.0:50051\"\n");
    assert_eq!(diagnostics.len(), 1);
    assert!(
        diagnostics[0].starts_with("logkey.toml:2:10: server.listen is not a loopback address"),
        "{diagnostics:?}"
    );
    assert!(
        load(&format!("[server]\nlisten = \"0.0.0.0:1\"\nallow_plaintext = true\n{MINIMAL}"), &[]).is_ok()
    );
    assert!(load(&format!("[server]\nlisten = \"[::1]:1\"\n{MINIMAL}"), &[]).is_ok());
}

#[test]
fn a_certificate_with_the_key_of_another_is_rejected() {
    let pair = || rcgen::generate_simple_self_signed(["logkey.example.com".to_owned()]).unwrap();
    let (one, other) = (pair(), pair());
    let text = format!("[server.tls]\ncert_file = \"tls.crt\"\nkey_file = \"tls.key\"\n{MINIMAL}");
    for (key, valid) in [(one.signing_key.serialize_pem(), true), (other.signing_key.serialize_pem(), false)]
    {
        let files = [("logkey.toml", &*text), ("tls.crt", &one.cert.pem()), ("tls.key", &key)];
        let loaded = load_in(folder(&files).path(), &[]);
        assert_eq!(loaded.is_ok(), valid, "{loaded:?}");
        if let Err(diagnostics) = loaded {
            assert!(
                diagnostics[0].starts_with("logkey.toml:2:13: server.tls.cert_file cannot be used: "),
                "{diagnostics:?}"
            );
        }
    }
}
