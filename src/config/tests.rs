//! Which configurations `Settings::load` accepts, and its diagnostics for the others.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::*;

/// The smallest configuration with a tenant.
const MINIMAL: &str = r#"
[[auth.issuers]]
issuer = "https://idp.example.com"

[[tenants]]
id = "payments"
issuers = ["https://idp.example.com"]
[[tenants.accounts]]
account_id = "111122223333"
role_arn = "arn:aws:iam::111122223333:role/LogKeyAssociator"
external_id = "kept-between-us"
regions = ["eu-west-1"]
log_groups = ["/payments/*"]
kms_keys = ["arn:aws:kms:*:111122223333:key/*"]
"#;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn load_in(folder: &Path, env: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let env: BTreeMap<String, String> = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let prefix = format!("{}/", folder.display());
    Settings::load(&folder.join("logkey.toml"), &env).map_err(|diagnostics| {
        diagnostics.iter().map(|diagnostic| diagnostic.to_string().replace(&prefix, "")).collect()
    })
}

fn load(text: &str, env: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    load_in(folder(&[("logkey.toml", text)]).path(), env)
}

/// The diagnostics of `text` followed by [`MINIMAL`].
fn diagnostics_with(text: &str) -> Vec<String> {
    load(&format!("{text}{MINIMAL}"), &[]).unwrap_err()
}

#[test]
fn an_issuer_and_a_tenant_suffice_and_the_rest_has_defaults() {
    let settings = load(MINIMAL, &[]).unwrap();
    assert_eq!(settings.server.listen, "127.0.0.1:50051".parse().unwrap());
    assert_eq!(settings.server.admin_listen, "127.0.0.1:9464".parse().unwrap());
    assert_eq!(settings.server.grpc.drain_timeout, Duration::from_secs(20));
    assert_eq!(settings.server.grpc.request_timeout, Duration::from_secs(15));
    assert!(settings.server.grpc.reflection);
    assert!(settings.server.tls.is_none());
    assert_eq!(settings.store.config.url, "sqlite://logkey.db");
    let [issuer] = &settings.auth.issuers[..] else { panic!("{:?}", settings.auth.issuers) };
    assert_eq!(issuer.audiences, ["logkey"].map(Box::from));
    assert_eq!(issuer.keys, crate::auth::KeySource::Discovery);
    assert_eq!(issuer.leeway, Duration::from_secs(30));
    assert_eq!(settings.limits.shared.upstream, crate::limit::AwsQuotas::default());
    assert!(!settings.limits.service_quotas);
    assert_eq!(settings.aws.region.as_str(), "us-east-1");
    assert_eq!(settings.aws.session_duration, Duration::from_hours(1));
    assert!(settings.audit.journal.reads);
    assert_eq!(&*settings.audit.checkpoint_origin, "logkey");
    let tenant = settings.tenants.by_claim("https://idp.example.com", "payments").unwrap();
    assert_eq!(tenant.limits.burst.get(), 100);
    assert_eq!(tenant.accounts[0].external_id.expose(), "kept-between-us");
    assert!(!tenant.accounts[0].query_results);
    assert_eq!(settings.warnings, []);
}

#[test]
fn all_problems_are_reported_with_their_line_and_without_values() {
    let text = r#"
[server]
listen = "hunter2"
drain_timeout = 20
reflection = "hunter2"
[limits]
backend = "hunter2"
tenant = { burst = 0 }
[[auth.issuers]]
issuer = "https://idp.example.com"
algorithms = ["HS256", "none", "hunter2"]
leeway = "1h"
[[tenants]]
id = "Hunter2!"
issuers = ["hunter2"]
[[tenants.accounts]]
account_id = "hunter2"
regions = ["hunter2"]
external_id = "hunter 2"
"#;
    let diagnostics = load(text, &[]).unwrap_err();
    let messages: Vec<_> = diagnostics
        .iter()
        .map(|diagnostic| diagnostic.split(": ").take(2).collect::<Vec<_>>().join(": "))
        .map(|diagnostic| diagnostic.split("; expected ").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        messages,
        [
            "logkey.toml:3:10: server.listen is not an address and port",
            "logkey.toml:4:17: server.drain_timeout is not a duration",
            "logkey.toml:5:14: server.reflection is neither true nor false",
            "logkey.toml:7:11: limits.backend is not the URL of a Redis or Valkey server",
            "logkey.toml:8:20: limits.tenant.burst is not a whole number from 1 to 4294967295",
            "logkey.toml:11:15: auth.issuers[0].algorithms[0] is a signature with a shared secret, which every verifier could forge",
            "logkey.toml:11:24: auth.issuers[0].algorithms[1] means no signature",
            "logkey.toml:11:32: auth.issuers[0].algorithms[2] is not an algorithm",
            "logkey.toml:12:10: auth.issuers[0].leeway is out of range",
            "logkey.toml:14:6: tenants[0].id is not a tenant id",
            "logkey.toml:15:12: tenants[0].issuers[0] is not the issuer of any [[auth.issuers]]",
            "logkey.toml:16:1: tenants[0].accounts[0].kms_keys is required",
            "logkey.toml:16:1: tenants[0].accounts[0].log_groups is required",
            "logkey.toml:16:1: tenants[0].accounts[0].role_arn is required",
            "logkey.toml:17:14: tenants[0].accounts[0].account_id is not an AWS account id",
            "logkey.toml:18:12: tenants[0].accounts[0].regions[0] is not an AWS Region",
            "logkey.toml:19:15: tenants[0].accounts[0].external_id is not an external id",
        ]
    );
    assert!(
        !diagnostics.iter().any(|diagnostic| diagnostic.to_lowercase().contains("hunter")),
        "{diagnostics:#?}"
    );
    assert!(
        diagnostics.iter().all(|it| it.split(": ").count() > 2 || it.contains("; expected ")),
        "a diagnostic does not say what to write: {diagnostics:#?}"
    );
}

#[test]
fn an_unknown_key_is_reported_with_the_most_similar_known_key() {
    let diagnostics =
        diagnostics_with("[server]\nlistn = 1\nzzz = 2\n[serber]\n[policy]\ntenants_dir = \"x\"\n");
    assert_eq!(diagnostics[0], "logkey.toml:2:1: server.listn is not a setting: did you mean server.listen?");
    assert_eq!(
        diagnostics[1],
        "logkey.toml:3:1: server.zzz is not a setting: expected one of admin_listen, allow_plaintext, drain_timeout, \
         listen, max_connections, max_connections_per_address, max_in_flight, reflection, request_timeout, tls, \
         trusted_proxies"
    );
    assert_eq!(diagnostics[2], "logkey.toml:4:2: serber is not a setting: did you mean server?");
    assert_eq!(
        diagnostics[3],
        "logkey.toml:6:1: policy.tenants_dir is not a setting: put it at the top of the file, above the \
         first [table]"
    );
}

#[test]
fn syntax_errors_are_reported_without_the_surrounding_text() {
    let diagnostics = load("[server]\nlisten = hunter2\nreflection = tru\n[server\n", &[]).unwrap_err();
    assert!(diagnostics.len() >= 3, "{diagnostics:#?}");
    assert!(diagnostics[0].starts_with("logkey.toml:2:10: is not TOML: "), "{diagnostics:#?}");
    assert!(!diagnostics.iter().any(|diagnostic| diagnostic.contains("hunter")), "{diagnostics:#?}");
    let missing = load_in(folder(&[]).path(), &[]).unwrap_err();
    assert_eq!(missing, ["logkey.toml: cannot be read: there is no such file or folder"]);
}

#[test]
fn an_environment_variable_overrides_the_file() {
    let settings = load(
        MINIMAL,
        &[
            ("LOGKEY__SERVER__LISTEN", "127.0.0.1:7"),
            ("logkey__server__reflection", "false"),
            ("LOGKEY__LIMITS__TENANT__PER_SECOND", "7"),
            ("LOGKEY__AUTH__ISSUERS__0__AUDIENCES", "one, two"),
            ("LOGKEY__AUTH__ISSUERS__0__ALGORITHMS", "[\"ES256\"]"),
            ("LOGKEY__AUTH__ISSUERS__1__ISSUER", "https://other.example.com"),
            ("LOGKEY__TENANTS__0__ISSUERS__1", "https://other.example.com"),
            ("LOGKEY__TENANTS__0__LIMITS__BURST", "9"),
            ("LOGKEY__TENANTS__0__ACCOUNTS__0__EXTERNAL_ID", "from-outside"),
            ("LOGKEY_SOMETHING_ELSE", "not a setting"),
        ],
    )
    .unwrap();
    assert_eq!(settings.server.listen.port(), 7);
    assert!(!settings.server.grpc.reflection);
    assert_eq!(settings.limits.tenant.per_second.get(), 7);
    assert_eq!(settings.auth.issuers[0].audiences, ["one", "two"].map(Box::from));
    assert_eq!(settings.auth.issuers[0].algorithms, [crate::auth::Algorithm::Es256]);
    let tenant = settings.tenants.by_claim("https://other.example.com", "payments").unwrap();
    assert_eq!((tenant.limits.per_second.get(), tenant.limits.burst.get()), (7, 9));
    assert_eq!(tenant.accounts[0].external_id.expose(), "from-outside");
}

#[test]
fn a_variable_that_sets_nothing_is_reported() {
    let diagnostics = load(
        MINIMAL,
        &[
            ("LOGKEY__SERVER__LISTN", "hunter2"),
            ("LOGKEY__SERVER__LISTEN", "hunter2"),
            ("LOGKEY__SERVER__REFLECTION__DEEPER", "hunter2"),
            ("LOGKEY__SERVER__REFLECTION", "hunter2"),
            ("LOGKEY__AUTH__ISSUERS__7__ISSUER", "hunter2"),
            ("LOGKEY__", "hunter2"),
        ],
    )
    .unwrap_err();
    for start in [
        "LOGKEY__: names no setting: ",
        "LOGKEY__AUTH__ISSUERS__7__ISSUER: names no element of its list: write a number from 0 to 1",
        "LOGKEY__SERVER__LISTEN: server.listen is not an address and port: ",
        "LOGKEY__SERVER__LISTN: server.listn is not a setting: did you mean server.listen?",
        "LOGKEY__SERVER__REFLECTION: server.reflection is neither true nor false: ",
        "LOGKEY__SERVER__REFLECTION__DEEPER: names a part of a setting that has no parts",
    ] {
        assert!(
            diagnostics.iter().any(|diagnostic| diagnostic.starts_with(start)),
            "{start}\n{diagnostics:#?}"
        );
    }
    assert_eq!(diagnostics.len(), 6, "{diagnostics:#?}");
    assert!(!diagnostics.iter().any(|diagnostic| diagnostic.contains("hunter")), "{diagnostics:#?}");
}

#[test]
fn secret_files_are_relative_to_the_file_that_names_them() {
    let text = MINIMAL.replace("external_id = \"kept-between-us\"", "external_id_file = \"secret\"");
    let tenant = "id = \"b\"\nissuers = [\"https://idp.example.com\"]\n";
    let files = [
        ("logkey.toml", &*format!("tenants_dir = \"tenants.d\"\n{text}")),
        ("secret", "kept-between-us\n"),
        ("tenants.d/b.toml", tenant),
    ];
    let folder = folder(&files);
    let settings = load_in(folder.path(), &[]).unwrap();
    let tenant = settings.tenants.by_claim("https://idp.example.com", "payments").unwrap();
    assert_eq!(tenant.accounts[0].external_id.expose(), "kept-between-us");
    assert_eq!(settings.tenants.len(), 2);
    let names: Vec<_> =
        settings.files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["logkey.toml", "b.toml", "tenants.d", "secret"]);
    assert!(!format!("{settings:?}").contains("kept-between-us"));
}

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
        load(&text, &[]).unwrap().warnings
    };
    assert_eq!(with(10), []);
    let warnings = with(40);
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.to_string().contains("log_groups does not fit"), "{warning}");
}

#[cfg(unix)]
#[test]
fn a_secret_file_that_everybody_may_read_causes_a_warning() {
    use std::os::unix::fs::PermissionsExt;

    let text = MINIMAL.replace("external_id = \"kept-between-us\"", "external_id_file = \"secret\"");
    let folder = folder(&[("logkey.toml", &text), ("secret", "kept-between-us")]);
    let secret = folder.path().join("secret");
    for (mode, warnings) in [(0o644, 1), (0o600, 0)] {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        let settings = load_in(folder.path(), &[]).unwrap();
        assert_eq!(settings.warnings.len(), warnings, "{mode:o}: {:?}", settings.warnings);
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

#[test]
fn keys_that_depend_on_each_other_are_checked_together() {
    let cases = [
        ("[store]\nurl = \"postgres://localhost/logkey\"\n", "audit.checkpoint_key_file is required"),
        (
            "[store]\nurl = \"postgres://a/b?sslmode=never\"\n",
            "store.url is not a URL that a PostgreSQL client",
        ),
        ("[store]\nurl = \"postgres://a/b?passwrd=secret\"\n", "store.url has an unknown parameter"),
        (
            "[store]\npassword_file = \"logkey.toml\"\n",
            "store.password_file has no effect, because url does not name a server",
        ),
        (
            "[store]\nurl = \"postgres://a:secret@b/c\"\npassword_file = \"logkey.toml\"\n",
            "store.password_file and a password in url are both set",
        ),
        ("[store]\nurl = \"mysql://localhost/logkey\"\n", "store.url is not the URL of a store"),
        ("[server.tls]\nclient_auth = \"required\"\n", "server.tls.client_ca_file is required"),
        (
            "[server.tls]\ncert_file = \"nowhere\"\n",
            "server.tls.cert_file refers to nowhere: there is no such file",
        ),
        (
            "[server]\nadmin_listen = \"127.0.0.1:50051\"\n",
            "server.admin_listen is the same address as server.listen",
        ),
        (
            "[aws]\nsession_duration = \"13h\"\n",
            "aws.session_duration is out of range: write a duration from 15m to 12h",
        ),
        ("[audit]\ncheckpoint_origin = \"a b\"\n", "audit.checkpoint_origin contains a space"),
        ("[[audit.sinks]]\npath = \"x\"\n", "audit.sinks[0].type is required"),
        ("[[audit.sinks]]\ntype = \"file\"\n", "audit.sinks[0].path is required"),
        ("[[audit.sinks]]\ntype = \"stdout\"\npath = \"x\"\n", "audit.sinks[0].path is not a setting"),
        ("[[audit.sinks]]\ntype = \"stdout\"\nname = \"a b\"\n", "audit.sinks[0].name is not a sink name"),
        (
            "[[audit.sinks]]\ntype = \"file\"\npath = \"x\"\nmax_bytes = 1\n",
            "audit.sinks[0].max_bytes is less than 65536",
        ),
        (
            "[[audit.sinks]]\ntype = \"stdout\"\n[[audit.sinks]]\ntype = \"stdout\"\n",
            "audit.sinks[1].type gives it the same name as the sink at ",
        ),
        (
            "[[audit.sinks]]\ntype = \"stdout\"\n[[audit.sinks]]\ntype = \"stdout\"\nname = \"b\"\n",
            "audit.sinks contains more than one sink of type \"stdout\"",
        ),
        (
            "[[audit.sinks]]\ntype = \"cloudwatch_logs\"\nregion = \"cn-north-1\"\nlog_group = \"a\"\n\
             role_arn = \"arn:aws:iam::111122223333:role/R\"\n",
            "audit.sinks[0].region is in a different AWS partition",
        ),
        ("[audit]\ncheckpoint_key_file = \"logkey.toml\"\n", "audit.checkpoint_key_file cannot be used"),
        ("[limits]\nbackend = \"redis://\"\n", "limits.backend is not the URL of a Redis or Valkey server"),
        (
            "[limits]\nbackend = \"redis+sentinel://a\"\n",
            "limits.backend is not the URL of a Redis or Valkey server",
        ),
        ("[limits]\nbackend_password_file = \"logkey.toml\"\n", "limits.backend_password_file has no effect"),
        (
            "[limits]\nbackend = \"rediss://a\"\nbackend_ca_file = \"logkey.toml\"\n",
            "which contains no PEM certificate",
        ),
        (
            "[limits]\nbackend = \"redis://:p@a\"\nbackend_password_file = \"logkey.toml\"\n",
            "limits.backend_password_file and a password in backend are both set",
        ),
        (
            "[limits]\nbackend_sentinel_password_file = \"logkey.toml\"\n",
            "limits.backend_sentinel_password_file has no effect, because backend does not name a server",
        ),
        (
            "[limits]\nbackend = \"redis://a\"\nbackend_sentinel_password_file = \"logkey.toml\"\n",
            "limits.backend_sentinel_password_file has no effect without Sentinels",
        ),
        ("[limits]\non_backend_error = \"x\"\n", "limits.on_backend_error"),
        ("[[limits.accounts]]\n", "limits.accounts[0].account_id is required"),
        ("[store]\nurl = \"sqlite::memory:\"\n", "store.url names no file"),
        ("[policy]\ndir = \"nowhere\"\n", "policy.dir refers to nowhere"),
        ("[telemetry]\nlog_level = \"a=b=c\"\n", "telemetry.log_level is not a log filter"),
        ("tenants_dir = \"nowhere\"\n", "tenants_dir refers to nowhere"),
    ];
    for (text, expected) in cases {
        let diagnostics = diagnostics_with(text);
        assert!(
            diagnostics.iter().any(|diagnostic| diagnostic.contains(expected)),
            "{expected}\n{diagnostics:#?}"
        );
    }
}

/// A private key in the format of openssl.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ\n-----END PRIVATE KEY-----\n";

#[test]
fn a_shared_store_needs_a_checkpoint_key_and_may_use_a_password_file() {
    let store = |url: &str| format!("[store]\nurl = \"{url}\"\npassword_file = \"password\"\n");
    let url = "postgres://logkey@db.example.com/logkey?sslmode=verify-full";
    let files = |text: &str| folder(&[("logkey.toml", text), ("password", "p@ss word\n"), ("key.pem", KEY)]);
    let without = files(&format!("{}[audit]\nreads = true\n{MINIMAL}", store(url)));
    let diagnostics = load_in(without.path(), &[]).unwrap_err();
    assert_eq!(diagnostics.len(), 1, "{diagnostics:#?}");
    assert!(diagnostics[0].starts_with("logkey.toml:4:"), "{diagnostics:#?}");
    assert!(diagnostics[0].contains("openssl genpkey -algorithm ed25519"), "{diagnostics:#?}");

    let with = |url| files(&format!("{}[audit]\ncheckpoint_key_file = \"key.pem\"\n{MINIMAL}", store(url)));
    let folder = with(url);
    let settings = load_in(folder.path(), &[]).unwrap();
    assert!(settings.store.config.is_shared() && settings.store.config.file().is_none());
    assert_eq!(settings.store.config.url, format!("{url}&password=p%40ss+word"));
    assert!(!format!("{settings:?}").contains("p%40ss"), "the password is printed");
    let has_tls_warning = |settings: &Settings| {
        settings.warnings.iter().any(|it| it.to_string().contains("sslmode=verify-full"))
    };
    assert!(!has_tls_warning(&settings));
    let open = load_in(with("postgres://logkey@db.example.com/logkey").path(), &[]).unwrap();
    assert!(has_tls_warning(&open), "no warning about a server whose certificate is not checked");
    let socket = load_in(with("postgres://logkey@localhost/logkey").path(), &[]).unwrap();
    assert!(!has_tls_warning(&socket));
}

#[test]
fn each_problem_of_a_policy_is_reported_at_its_line() {
    let folder = folder(&[
        ("logkey.toml", &format!("{MINIMAL}\n[policy]\ndir = \"policies\"\n")),
        ("policies/a.cedar", "forbid (principal, action, resource)\nwhen { resource.colour == 1 };"),
        ("policies/b.cedar", "@id(\"tenant/a\") permit (principal, action, resource);\n\nforbid (principal"),
        ("policies/notes.txt", "not a policy"),
    ]);
    let diagnostics = load_in(folder.path(), &[]).unwrap_err();
    assert!(diagnostics[0].contains("policies/a.cedar:2:8: "), "{diagnostics:#?}");
    assert!(
        diagnostics.iter().any(|diagnostic| diagnostic.contains("policies/b.cedar:3:")),
        "{diagnostics:#?}"
    );
    assert!(!diagnostics.iter().any(|diagnostic| diagnostic.contains("notes")), "{diagnostics:#?}");
}

#[test]
fn issuer_keys_are_fetched_over_https_or_from_this_machine() {
    let with = |lines: &str| {
        let issuer = "issuer = \"https://idp.example.com\"\n";
        load(&MINIMAL.replacen(issuer, &format!("{issuer}{lines}\n"), 1), &[])
    };
    assert!(with("jwks_uri = \"https://idp.example.com/keys\"").is_ok());
    assert!(with("jwks_uri = \"http://127.0.0.1:8080/keys\"").is_ok());
    let diagnostics = with("jwks_uri = \"http://idp.example.com/keys\"").unwrap_err();
    assert!(diagnostics[0].contains("jwks_uri is not an https URL"), "{diagnostics:?}");
    let diagnostics = with("refresh = { every = \"1m\", cool_down = \"2m\" }").unwrap_err();
    assert!(diagnostics[0].contains("refresh.cool_down is longer than every"), "{diagnostics:?}");
    let diagnostics = with("tenant_claim_pattern = \"spiffe://x/*/y\"").unwrap_err();
    assert!(diagnostics[0].contains("tenant_claim_pattern must contain {tenant}"), "{diagnostics:?}");
    let diagnostics = with("jwks_file = \"logkey.toml\"").unwrap_err();
    assert!(
        diagnostics[0].contains("jwks_file refers to logkey.toml, which is not a usable key set"),
        "{diagnostics:?}"
    );
    let diagnostics = with("jwks_file = \"nowhere\"").unwrap_err();
    assert!(diagnostics[0].contains("jwks_file refers to nowhere"), "{diagnostics:?}");
    let diagnostics = load(&MINIMAL.replace("https://idp.example.com", "idp"), &[]).unwrap_err();
    assert!(
        diagnostics[0].contains("its keys cannot be discovered: add jwks_uri or jwks_file"),
        "{diagnostics:?}"
    );
}

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
        let example = include_str!("../../deploy/logkey.example.toml");
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
[[tenants]]
[[tenants.accounts]]
"#;
    let folder = folder(&[("logkey.toml", text)]);
    let reader = Reader::default();
    let (at, table) = reader.document(&folder.path().join("logkey.toml")).unwrap();
    read(&Section::root(at, &table, &reader));
    // Tables are not settings.
    let requested_keys = reader.requested_keys.borrow();
    let is_table = |key: &String| {
        requested_keys
            .iter()
            .any(|other| other.starts_with(&format!("{key}.")) || other.starts_with(&format!("{key}[]")))
    };
    let read: Vec<_> = requested_keys.iter().filter(|key| !is_table(key)).map(String::as_str).collect();

    let documented = include_str!("../../docs/configuration.md").lines();
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
    let text = include_str!("../../deploy/logkey.example.toml");
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
