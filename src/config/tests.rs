//! What `Settings::load` takes, and what it says of what it does not take.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::*;

/// As little as can be written, with a tenant.
const SMALL: &str = r#"
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

/// The faults of `text` under [`SMALL`]'s own.
fn faults_with(text: &str) -> Vec<String> {
    load(&format!("{text}{SMALL}"), &[]).unwrap_err()
}

#[test]
fn an_issuer_and_a_tenant_are_enough_and_the_rest_has_its_defaults() {
    let settings = load(SMALL, &[]).unwrap();
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
fn every_fault_is_told_at_once_with_its_line_and_no_value() {
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
        .collect();
    assert_eq!(
        messages,
        [
            "logkey.toml:3:10: server.listen is not an address and port",
            "logkey.toml:4:17: server.drain_timeout is not a length of time",
            "logkey.toml:5:14: server.reflection is neither true nor false",
            "logkey.toml:7:11: limits.backend is no URL of a Redis or Valkey server",
            "logkey.toml:8:20: limits.tenant.burst is not a whole number from 1 to 4294967295",
            "logkey.toml:11:15: auth.issuers[0].algorithms[0] is a shared secret's signature, which whoever verifies can make",
            "logkey.toml:11:24: auth.issuers[0].algorithms[1] is no signature at all",
            "logkey.toml:11:32: auth.issuers[0].algorithms[2] is not an algorithm",
            "logkey.toml:12:10: auth.issuers[0].leeway is out of range",
            "logkey.toml:14:6: tenants[0].id is not a tenant id",
            "logkey.toml:15:12: tenants[0].issuers[0] is the issuer of no [[auth.issuers]]",
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
        diagnostics.iter().all(|diagnostic| diagnostic.split(": ").count() > 2),
        "each says what to write: {diagnostics:#?}"
    );
}

#[test]
fn unknown_keys_are_faults_and_the_nearest_known_one_is_suggested() {
    let diagnostics = faults_with("[server]\nlistn = 1\nzzz = 2\n[serber]\n[policy]\ntenants_dir = \"x\"\n");
    assert_eq!(diagnostics[0], "logkey.toml:2:1: server.listn is not a setting: did you mean server.listen?");
    assert_eq!(
        diagnostics[1],
        "logkey.toml:3:1: server.zzz is not a setting: known here: admin_listen, allow_plaintext, drain_timeout, \
         listen, max_connections, max_connections_per_address, max_in_flight, reflection, request_timeout, tls, \
         trusted_proxies"
    );
    assert_eq!(diagnostics[2], "logkey.toml:4:2: serber is not a setting: did you mean server?");
    assert_eq!(
        diagnostics[3],
        "logkey.toml:6:1: policy.tenants_dir is not a setting: it belongs at the top of the file, above the \
         first [table]"
    );
}

#[test]
fn faults_of_syntax_are_told_without_the_text_around_them() {
    let diagnostics = load("[server]\nlisten = hunter2\nreflection = tru\n[server\n", &[]).unwrap_err();
    assert!(diagnostics.len() >= 3, "{diagnostics:#?}");
    assert!(diagnostics[0].starts_with("logkey.toml:2:10: is not TOML: "), "{diagnostics:#?}");
    assert!(!diagnostics.iter().any(|diagnostic| diagnostic.contains("hunter")), "{diagnostics:#?}");
    let missing = load_in(folder(&[]).path(), &[]).unwrap_err();
    assert_eq!(missing, ["logkey.toml: cannot be read: there is no such file or folder"]);
}

#[test]
fn a_variable_stands_above_the_file() {
    let settings = load(
        SMALL,
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
            ("LOGKEY_SOMETHING_ELSE", "of no concern"),
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
fn a_variable_that_sets_nothing_is_a_fault() {
    let diagnostics = load(
        SMALL,
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
    for begin in [
        "LOGKEY__: names no setting: ",
        "LOGKEY__AUTH__ISSUERS__7__ISSUER: names no element of its list: write a number from 0 to 1",
        "LOGKEY__SERVER__LISTEN: server.listen is not an address and port: ",
        "LOGKEY__SERVER__LISTN: server.listn is not a setting: did you mean server.listen?",
        "LOGKEY__SERVER__REFLECTION: server.reflection is neither true nor false: ",
        "LOGKEY__SERVER__REFLECTION__DEEPER: goes into a setting that has no parts",
    ] {
        assert!(
            diagnostics.iter().any(|diagnostic| diagnostic.starts_with(begin)),
            "{begin}\n{diagnostics:#?}"
        );
    }
    assert_eq!(diagnostics.len(), 6, "{diagnostics:#?}");
    assert!(!diagnostics.iter().any(|diagnostic| diagnostic.contains("hunter")), "{diagnostics:#?}");
}

#[test]
fn secrets_come_from_files_beside_the_one_that_names_them() {
    let text = SMALL.replace("external_id = \"kept-between-us\"", "external_id_file = \"secret\"");
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
fn sinks_have_a_name_each_and_their_secrets_in_files() {
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
    let text = format!("{sinks}{SMALL}");
    let folder = folder(&[("logkey.toml", &text), ("sink-id", "the-operators-own\n")]);
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
    assert_eq!(stream.external_id.as_ref().unwrap().expose(), "the-operators-own");
    assert_eq!(&*stream.log_stream, "logkey");
    assert!(!format!("{settings:?}").contains("the-operators-own"));
}

#[test]
fn patterns_that_do_not_fit_into_a_session_policy_are_warned_about() {
    let with = |patterns: usize| {
        let patterns: Vec<_> = (0..patterns).map(|n| format!("\"/team-{n}/a-rather-long-name/*\"")).collect();
        let line = SMALL.lines().find(|line| line.starts_with("log_groups")).unwrap();
        let text = SMALL.replace(line, &format!("log_groups = [{}]", patterns.join(", ")));
        load(&text, &[]).unwrap().warnings
    };
    assert_eq!(with(10), []);
    let warnings = with(40);
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.to_string().contains("log_groups does not fit"), "{warning}");
}

#[cfg(unix)]
#[test]
fn a_secret_that_everyone_may_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;

    let text = SMALL.replace("external_id = \"kept-between-us\"", "external_id_file = \"secret\"");
    let folder = folder(&[("logkey.toml", &text), ("secret", "kept-between-us")]);
    let secret = folder.path().join("secret");
    for (mode, warnings) in [(0o644, 1), (0o600, 0)] {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        let settings = load_in(folder.path(), &[]).unwrap();
        assert_eq!(settings.warnings.len(), warnings, "{mode:o}: {:?}", settings.warnings);
    }
}

#[test]
fn a_secret_that_cannot_be_had_or_used_is_a_fault_that_names_its_file() {
    let text = SMALL.replace("external_id = \"kept-between-us\"", "external_id_file = \"secret\"");
    let missing = load(&text, &[]).unwrap_err();
    assert_eq!(
        missing,
        [
            "logkey.toml:11:20: tenants[0].accounts[0].external_id_file leads to secret: there is no such file or \
          folder"
        ]
    );
    let folder = folder(&[("logkey.toml", &text), ("secret", "hunter 2")]);
    let unusable = load_in(folder.path(), &[]).unwrap_err();
    assert!(unusable[0].contains("leads to secret, whose content is not an external id: "), "{unusable:?}");
    let both = SMALL.replace("external_id =", "external_id_file = \"x\"\nexternal_id =");
    assert!(load(&both, &[]).unwrap_err()[0].ends_with("and external_id both stand here: keep one of them"));
}

#[test]
fn plain_text_stays_on_this_machine_unless_it_is_allowed() {
    let diagnostics = faults_with("[server]\nlisten = \"0.0.0.0:50051\"\n");
    assert_eq!(diagnostics.len(), 1);
    assert!(
        diagnostics[0].starts_with("logkey.toml:2:10: server.listen is not a loopback address"),
        "{diagnostics:?}"
    );
    assert!(load(&format!("[server]\nlisten = \"0.0.0.0:1\"\nallow_plaintext = true\n{SMALL}"), &[]).is_ok());
    assert!(load(&format!("[server]\nlisten = \"[::1]:1\"\n{SMALL}"), &[]).is_ok());
}

#[test]
fn a_certificate_and_another_ones_key_do_not_pass() {
    let pair = || rcgen::generate_simple_self_signed(["logkey.example.com".to_owned()]).unwrap();
    let (one, other) = (pair(), pair());
    let text = format!("[server.tls]\ncert_file = \"tls.crt\"\nkey_file = \"tls.key\"\n{SMALL}");
    for (key, fine) in [(one.signing_key.serialize_pem(), true), (other.signing_key.serialize_pem(), false)] {
        let files = [("logkey.toml", &*text), ("tls.crt", &one.cert.pem()), ("tls.key", &key)];
        let loaded = load_in(folder(&files).path(), &[]);
        assert_eq!(loaded.is_ok(), fine, "{loaded:?}");
        if let Err(diagnostics) = loaded {
            assert!(
                diagnostics[0].starts_with("logkey.toml:2:13: server.tls.cert_file cannot be used: "),
                "{diagnostics:?}"
            );
        }
    }
}

#[test]
fn what_must_agree_is_checked_across_keys() {
    let cases = [
        ("[store]\nurl = \"postgres://localhost/logkey\"\n", "audit.checkpoint_key_file is required"),
        (
            "[store]\nurl = \"postgres://a/b?sslmode=never\"\n",
            "store.url is not a URL that a PostgreSQL client",
        ),
        (
            "[store]\nurl = \"postgres://a/b?passwrd=secret\"\n",
            "store.url says something behind its question mark",
        ),
        (
            "[store]\npassword_file = \"logkey.toml\"\n",
            "store.password_file has no use where url leads to no server",
        ),
        (
            "[store]\nurl = \"postgres://a:secret@b/c\"\npassword_file = \"logkey.toml\"\n",
            "store.password_file and a password in url both stand here",
        ),
        ("[store]\nurl = \"mysql://localhost/logkey\"\n", "store.url is not the URL of a store"),
        ("[server.tls]\nclient_auth = \"required\"\n", "server.tls.client_ca_file is required"),
        (
            "[server.tls]\ncert_file = \"nowhere\"\n",
            "server.tls.cert_file leads to nowhere: there is no such file",
        ),
        (
            "[server]\nadmin_listen = \"127.0.0.1:50051\"\n",
            "server.admin_listen is the address of server.listen",
        ),
        (
            "[aws]\nsession_duration = \"13h\"\n",
            "aws.session_duration is out of range: write a length of time from 15m to 12h",
        ),
        ("[audit]\ncheckpoint_origin = \"a b\"\n", "audit.checkpoint_origin holds a space"),
        ("[[audit.sinks]]\npath = \"x\"\n", "audit.sinks[0].type is required"),
        ("[[audit.sinks]]\ntype = \"file\"\n", "audit.sinks[0].path is required"),
        ("[[audit.sinks]]\ntype = \"stdout\"\npath = \"x\"\n", "audit.sinks[0].path is not a setting"),
        ("[[audit.sinks]]\ntype = \"stdout\"\nname = \"a b\"\n", "audit.sinks[0].name is not a sink's name"),
        (
            "[[audit.sinks]]\ntype = \"file\"\npath = \"x\"\nmax_bytes = 1\n",
            "audit.sinks[0].max_bytes is under 65536",
        ),
        (
            "[[audit.sinks]]\ntype = \"stdout\"\n[[audit.sinks]]\ntype = \"stdout\"\n",
            "audit.sinks[1].type makes it bear the name of the sink at ",
        ),
        (
            "[[audit.sinks]]\ntype = \"stdout\"\n[[audit.sinks]]\ntype = \"stdout\"\nname = \"b\"\n",
            "audit.sinks write to standard output more than once",
        ),
        (
            "[[audit.sinks]]\ntype = \"cloudwatch_logs\"\nregion = \"cn-north-1\"\nlog_group = \"a\"\n\
             role_arn = \"arn:aws:iam::111122223333:role/R\"\n",
            "audit.sinks[0].region is of another AWS partition",
        ),
        ("[audit]\ncheckpoint_key_file = \"logkey.toml\"\n", "audit.checkpoint_key_file cannot be used"),
        ("[limits]\nbackend = \"redis://\"\n", "limits.backend is no URL of a Redis or Valkey server"),
        (
            "[limits]\nbackend = \"redis+sentinel://a\"\n",
            "limits.backend is no URL of a Redis or Valkey server",
        ),
        ("[limits]\nbackend_password_file = \"logkey.toml\"\n", "limits.backend_password_file has no use"),
        (
            "[limits]\nbackend = \"rediss://a\"\nbackend_ca_file = \"logkey.toml\"\n",
            "which holds no certificate in PEM",
        ),
        (
            "[limits]\nbackend = \"redis://:p@a\"\nbackend_password_file = \"logkey.toml\"\n",
            "limits.backend_password_file and a password in backend both stand here",
        ),
        (
            "[limits]\nbackend_sentinel_password_file = \"logkey.toml\"\n",
            "limits.backend_sentinel_password_file has no use where backend leads to no server",
        ),
        (
            "[limits]\nbackend = \"redis://a\"\nbackend_sentinel_password_file = \"logkey.toml\"\n",
            "limits.backend_sentinel_password_file has no use without Sentinels",
        ),
        ("[limits]\non_backend_error = \"x\"\n", "limits.on_backend_error"),
        ("[[limits.accounts]]\n", "limits.accounts[0].account_id is required"),
        ("[store]\nurl = \"sqlite::memory:\"\n", "store.url names no file"),
        ("[policy]\ndir = \"nowhere\"\n", "policy.dir leads to nowhere"),
        ("[telemetry]\nlog_level = \"a=b=c\"\n", "telemetry.log_level is not a log filter"),
        ("tenants_dir = \"nowhere\"\n", "tenants_dir leads to nowhere"),
    ];
    for (text, expected) in cases {
        let diagnostics = faults_with(text);
        assert!(
            diagnostics.iter().any(|diagnostic| diagnostic.contains(expected)),
            "{expected}\n{diagnostics:#?}"
        );
    }
}

/// A key as openssl makes it.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ\n-----END PRIVATE KEY-----\n";

#[test]
fn a_shared_store_needs_a_key_of_its_own_and_its_password_may_stand_in_a_file() {
    let store = |url: &str| format!("[store]\nurl = \"{url}\"\npassword_file = \"password\"\n");
    let url = "postgres://logkey@db.example.com/logkey?sslmode=verify-full";
    let files = |text: &str| folder(&[("logkey.toml", text), ("password", "p@ss word\n"), ("key.pem", KEY)]);
    let without = files(&format!("{}[audit]\nreads = true\n{SMALL}", store(url)));
    let diagnostics = load_in(without.path(), &[]).unwrap_err();
    assert_eq!(diagnostics.len(), 1, "{diagnostics:#?}");
    assert!(diagnostics[0].starts_with("logkey.toml:4:"), "{diagnostics:#?}");
    assert!(diagnostics[0].contains("openssl genpkey -algorithm ed25519"), "{diagnostics:#?}");

    let with = |url| files(&format!("{}[audit]\ncheckpoint_key_file = \"key.pem\"\n{SMALL}", store(url)));
    let folder = with(url);
    let settings = load_in(folder.path(), &[]).unwrap();
    assert!(settings.store.config.is_shared() && settings.store.config.file().is_none());
    assert_eq!(settings.store.config.url, format!("{url}&password=p%40ss+word"));
    assert!(!format!("{settings:?}").contains("p%40ss"), "the password is printed");
    let warned = |settings: &Settings| {
        settings.warnings.iter().any(|it| it.to_string().contains("sslmode=verify-full"))
    };
    assert!(!warned(&settings));
    let open = load_in(with("postgres://logkey@db.example.com/logkey").path(), &[]).unwrap();
    assert!(warned(&open), "it goes to another machine without looking who that is");
    let socket = load_in(with("postgres://logkey@localhost/logkey").path(), &[]).unwrap();
    assert!(!warned(&socket));
}

#[test]
fn every_fault_of_a_policy_is_told_at_its_line() {
    let folder = folder(&[
        ("logkey.toml", &format!("{SMALL}\n[policy]\ndir = \"rules\"\n")),
        ("rules/a.cedar", "forbid (principal, action, resource)\nwhen { resource.colour == 1 };"),
        ("rules/b.cedar", "@id(\"tenant/a\") permit (principal, action, resource);\n\nforbid (principal"),
        ("rules/notes.txt", "not a policy"),
    ]);
    let diagnostics = load_in(folder.path(), &[]).unwrap_err();
    assert!(diagnostics[0].contains("rules/a.cedar:2:8: "), "{diagnostics:#?}");
    assert!(diagnostics.iter().any(|diagnostic| diagnostic.contains("rules/b.cedar:3:")), "{diagnostics:#?}");
    assert!(!diagnostics.iter().any(|diagnostic| diagnostic.contains("notes")), "{diagnostics:#?}");
}

#[test]
fn keys_are_fetched_over_https_or_on_this_machine() {
    let with = |lines: &str| {
        let issuer = "issuer = \"https://idp.example.com\"\n";
        load(&SMALL.replacen(issuer, &format!("{issuer}{lines}\n"), 1), &[])
    };
    assert!(with("jwks_uri = \"https://idp.example.com/keys\"").is_ok());
    assert!(with("jwks_uri = \"http://127.0.0.1:8080/keys\"").is_ok());
    let diagnostics = with("jwks_uri = \"http://idp.example.com/keys\"").unwrap_err();
    assert!(diagnostics[0].contains("jwks_uri is not an https URL"), "{diagnostics:?}");
    let diagnostics = with("refresh = { every = \"1m\", cool_down = \"2m\" }").unwrap_err();
    assert!(diagnostics[0].contains("refresh.cool_down is longer than every"), "{diagnostics:?}");
    let diagnostics = with("tenant_claim_pattern = \"spiffe://x/*/y\"").unwrap_err();
    assert!(diagnostics[0].contains("tenant_claim_pattern must hold {tenant}"), "{diagnostics:?}");
    let diagnostics = with("jwks_file = \"logkey.toml\"").unwrap_err();
    assert!(diagnostics[0].contains("jwks_file leads to logkey.toml, which is no use"), "{diagnostics:?}");
    let diagnostics = with("jwks_file = \"nowhere\"").unwrap_err();
    assert!(diagnostics[0].contains("jwks_file leads to nowhere"), "{diagnostics:?}");
    let diagnostics = load(&SMALL.replace("https://idp.example.com", "idp"), &[]).unwrap_err();
    assert!(
        diagnostics[0].contains("its keys cannot be discovered: add jwks_uri or jwks_file"),
        "{diagnostics:?}"
    );
}

#[test]
fn a_role_belongs_to_its_account() {
    let diagnostics = load(&SMALL.replace("iam::111122223333", "iam::999922223333"), &[]).unwrap_err();
    assert_eq!(diagnostics.len(), 1);
    assert!(
        diagnostics[0].contains("role_arn is a role of another account than account_id"),
        "{diagnostics:?}"
    );
}

#[test]
fn a_role_and_its_regions_are_of_one_partition() {
    let diagnostics = load(&SMALL.replace("eu-west-1", "cn-north-1"), &[]).unwrap_err();
    assert_eq!(diagnostics.len(), 1);
    assert!(diagnostics[0].contains("regions holds a Region of another AWS partition"), "{diagnostics:?}");
}

#[test]
fn lists_that_decide_who_may_do_something_are_not_empty() {
    for key in ["log_groups", "kms_keys", "regions"] {
        let line = SMALL.lines().find(|line| line.starts_with(key)).unwrap();
        let diagnostics = load(&SMALL.replace(line, &format!("{key} = []")), &[]).unwrap_err();
        assert!(diagnostics[0].contains("is an empty list: name at least one"), "{diagnostics:?}");
    }
    assert!(load(&format!("[server]\ntrusted_proxies = []\n{SMALL}"), &[]).is_ok());
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// Whatever stands in the place of a value, no fault repeats it and none makes the reader fall over.
    #[test]
    fn no_value_is_ever_repeated(choices in proptest::collection::vec((0_usize..9, 0_usize..12), 8)) {
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
            // Paths are told: nothing else would say which file is missing.
            let repeats = |diagnostic: &String| diagnostic.contains("hunter") && !diagnostic.contains(" leads to ");
            proptest::prop_assert!(!diagnostics.iter().any(repeats), "{:#?}", diagnostics);
        }
    }
}

#[test]
fn what_stands_twice_is_told_with_both_places() {
    let tenant = SMALL.split_once("[[tenants]]").unwrap().1;
    let text = format!("{SMALL}[[tenants]]{tenant}");
    let diagnostics = load(&text, &[]).unwrap_err();
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    assert!(diagnostics[0].starts_with("logkey.toml:16:6: tenants[1].id is taken by "), "{diagnostics:?}");
    assert!(diagnostics[0].contains("logkey.toml:6:6: give each"), "{diagnostics:?}");

    let other =
        "[[tenants]]\nid = \"b\"\nissuers = [\"https://idp.example.com\"]\nclaim_values = [\"payments\"]\n";
    let diagnostics = load(&format!("{SMALL}{other}"), &[]).unwrap_err();
    assert!(
        diagnostics[0].contains("claim_values holds a value that means the tenant at "),
        "{diagnostics:?}"
    );

    let issuer = "[[auth.issuers]]\nissuer = \"https://idp.example.com\"\n";
    let diagnostics = load(&format!("{issuer}{SMALL}"), &[]).unwrap_err();
    assert!(diagnostics[0].contains("auth.issuers[1].issuer stands at "), "{diagnostics:?}");
}

#[test]
fn a_file_of_the_folder_holds_one_tenant_or_a_list_and_its_faults_name_it() {
    let one = "id = \"one\"\nissuers = [\"https://idp.example.com\"]\nsuspended = true\n";
    let list = "[[tenants]]\nid = \"two\"\nissuers = [\"https://idp.example.com\"]\n";
    let main = format!("tenants_dir = \"tenants.d\"\n{SMALL}");
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
    let begins: Vec<_> =
        diagnostics.iter().map(|diagnostic| diagnostic.split(": ").next().unwrap()).collect();
    assert_eq!(
        begins,
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
    // Tables are no settings of their own.
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
fn the_example_can_be_used_and_whatever_is_commented_out_is_known() {
    let text = include_str!("../../deploy/logkey.example.toml");
    let settings = load(text, &[]).unwrap();
    assert_eq!((settings.tenants.len(), settings.warnings), (1, vec![]));

    let whole: Vec<_> = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let diagnostics = load(&whole.join("\n"), &[]).unwrap_err();
    assert!(!diagnostics.iter().any(|diagnostic| diagnostic.contains("is not")), "{diagnostics:#?}");
    let missing = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.contains("there is no such file or folder"))
        .count();
    assert_eq!(missing, diagnostics.len(), "only files are missing: {diagnostics:#?}");
}

#[test]
fn reading_ten_thousand_tenants_costs_little_more_than_parsing_their_text() {
    let mut text = String::from("[[auth.issuers]]\nissuer = \"https://idp.example.com\"\n");
    for number in 0..10_000 {
        let tenant =
            SMALL.split_once("[[tenants]]").unwrap().1.replace("payments\"", &format!("t{number}\""));
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
