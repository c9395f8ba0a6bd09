//! Which configurations `Settings::load` accepts, and its diagnostics for the others.

mod archive;
mod authorities;
mod dependent_keys;
mod documents;
mod rules;
mod sinks_and_secrets;
mod tenants;
mod traces;
mod unsafe_settings;

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

const NO_WARNINGS: [String; 0] = [];

/// The warnings, without the one that every configuration without an archive causes.
fn warnings(settings: &Settings) -> Vec<String> {
    let warnings = settings.warnings.iter().map(|warning| warning.message.clone());
    warnings.filter(|warning| !warning.starts_with("audit.reads records every read")).collect()
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
    assert_eq!(settings.server.grpc.drain_delay, Duration::from_secs(5));
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
    assert_eq!(settings.audit.journal.reads, crate::audit::ReadRecording::All);
    assert_eq!(&*settings.audit.checkpoint_origin, "logkey");
    let tenant = settings.tenants.by_claim("https://idp.example.com", "payments").unwrap();
    assert_eq!(tenant.limits.burst.get(), 100);
    assert_eq!(tenant.accounts[0].external_id.expose(), "kept-between-us");
    assert!(!tenant.accounts[0].query_results);
    assert_eq!(warnings(&settings), NO_WARNINGS);
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
        "logkey.toml:3:1: server.zzz is not a setting: expected one of admin_listen, allow_plaintext, cors, \
         documentation_url, drain_delay, drain_timeout, listen, max_connections, max_connections_per_address, max_in_flight, reflection, request_timeout, tls, \
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
