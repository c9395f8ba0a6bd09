//! Keys that depend on each other, policies and issuers.

use super::*;

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
pub(super) const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
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
