//! The same with PostgreSQL behind TLS and a password, and a sink in `CloudWatch` Logs. The password is in
//! the URL, is then rejected, and the server crashes.

use std::{fs, path::Path};

use logkey::{
    proto::{ListAuditEventsRequest, audit_service_client::AuditServiceClient},
    sandbox::{Running, Sandbox, seed::AccountSeed},
};
use sqlx::{Connection as _, Row as _};
use tonic::transport::Endpoint;

use super::{
    ErrorOutput, found_in,
    stage::{redis, secret, until},
};
use crate::{
    addresses::free_addresses,
    bound_tokens::Authority,
    child::KillOnDrop,
    harness::{
        ALL, AccountText, Caller, GROUP, ISSUER, PAYMENTS, Postgres, REGION, SettingsText, TestIssuer, key,
        reason,
    },
    process::logkey,
};

const OPERATOR: &str = "999999999999";

/// The settings of a service with these store settings.
fn settings(store: &str, aws: &str, redis: &str, key_file: &str, sink_secret: &str) -> String {
    let [grpc, admin] = free_addresses().unwrap();
    let sink = format!(
        "type = \"cloudwatch_logs\"\nrole_arn = \"arn:aws:iam::{OPERATOR}:role/LogKeyAuditSink\"\n\
         external_id = \"{sink_secret}\"\nregion = \"{REGION}\"\nlog_group = \"/logkey/audit\"\n"
    );
    let account = AccountText { tenant: "payments", account: PAYMENTS, region: REGION, kms_keys: "*" };
    SettingsText::default()
        .table("telemetry", "log_level = \"trace\"\nlog_format = \"json\"\n")
        .listen(grpc, admin)
        .table("server", "request_timeout = \"2s\"\n")
        .table("store", &format!("{store}\n"))
        .issuer(ISSUER, Path::new("jwks.json"))
        .table("limits", &format!("backend = \"{redis}\"\nbackend_password_file = \"redis-password\"\n"))
        .aws(aws)
        .table("aws", "attempt_timeout = \"500ms\"\n")
        .table("audit", &format!("checkpoint_key_file = \"{key_file}\"\n"))
        .element("audit.sinks", &sink)
        .tenant("payments", "")
        .account(&account, "")
        .to_string()
}

/// An AWS with the tenant's account, and an operator's account whose sink role has this external id.
async fn aws(sink_secret: &str) -> Running {
    let tenant_account = |account: AccountSeed| {
        let account = account.role("LogKeyAssociator", "payments-external-id");
        account.key(REGION, "good", "allow-both").log_group(REGION, GROUP)
    };
    let operator_account = |account: AccountSeed| {
        account.role("LogKeyAuditSink", sink_secret).log_group(REGION, "/logkey/audit")
    };
    let aws = Sandbox::builder()
        .without_quotas()
        .account(PAYMENTS, tenant_account)
        .account(OPERATOR, operator_account);
    aws.build().unwrap().start().await.unwrap()
}

/// The output of a command.
fn run(arguments: &[&str]) -> String {
    let output = logkey(arguments).env("RUST_LOG", "trace").output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// The output of commands with valid and invalid URLs. `bad` writes settings with an invalid URL.
fn commands(
    (url, password): (&str, &str),
    config: &str,
    bad: impl Fn(&str) -> String,
) -> Vec<(&'static str, String)> {
    let closed = format!("postgres://logkey:{password}@127.0.0.1:1/logkey");
    let mut texts: Vec<(&str, String)> = [
        ("audit list", &["audit", "list", "--store", url][..]),
        ("audit list without a server", &["audit", "list", "--store", &closed]),
        ("audit verify", &["audit", "verify", "--config", config]),
        ("check", &["check", "--config", config]),
    ]
    .map(|(verb, arguments)| (verb, run(arguments)))
    .into();
    assert!(texts.iter().any(|(verb, text)| *verb == "audit list" && text.contains("AssociateKmsKey")));
    for (name, url) in [
        ("no port", format!("postgres://logkey:{password}@127.0.0.1:port/logkey")),
        ("no mode", format!("{url}&sslmode=perhaps")),
        ("no scheme", format!("postgras://logkey:{password}@127.0.0.1/logkey")),
        ("no host", format!("postgres://logkey:{password}@[/logkey")),
    ] {
        let path = bad(&url);
        for verb in ["check", "serve"] {
            let output = run(&[verb, "--config", &path]);
            assert!(output.contains("store"), "{name}: {output}");
            texts.push((name, output));
        }
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn no_output_has_the_passwords_of_a_server_or_the_external_id_of_a_sink() {
    let (mut postgres, folder) = (Postgres::start().await, tempfile::tempdir().unwrap());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (password, other, redis_password, sink_secret) = (secret(), secret(), secret(), secret());
    let authority = Authority::new();
    fs::write(file("ca.pem"), authority.pem()).unwrap();
    postgres.secure(&password, authority.client("127.0.0.1").pair(), &file("ca.pem")).await;
    let [at] = free_addresses().unwrap();
    let redis = redis(at.port(), &redis_password);
    let issuer = TestIssuer::new("key-1");
    let aws = aws(&sink_secret).await;
    fs::write(file("jwks.json"), issuer.jwks()).unwrap();
    fs::write(file("redis-password"), &redis_password).unwrap();
    // A file with the URL, which includes the password.
    let url = postgres.url();
    assert!(url.contains(&password));
    fs::write(file("store-url"), &url).unwrap();
    let key_file = postgres.key_file().display().to_string();
    let redis_url = format!("redis://127.0.0.1:{}", at.port());
    let text = settings("url_file = \"store-url\"", &aws.endpoint(), &redis_url, &key_file, &sink_secret);
    let config = file("logkey.toml");
    fs::write(&config, &text).unwrap();
    let address = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches(|c: char| " =\"".contains(c)).to_owned()
    };
    let (grpc, admin) = (address("listen"), address("admin_listen"));

    let log = tempfile::NamedTempFile::new().unwrap();
    let service = logkey(&["serve", "--config", &config])
        .env("RUST_LOG", "trace")
        .env("AWS_ACCESS_KEY_ID", "AKIASANDBOXHUB")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .stderr(log.reopen().unwrap())
        .spawn()
        .unwrap();
    let service = KillOnDrop(service);
    let get = async |path: &str| match reqwest::get(format!("http://{admin}/{path}")).await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(_) => (0, String::new()),
    };
    until("readiness", async || get("readyz").await.0 == 200).await;
    let channel = Endpoint::from_shared(format!("http://{grpc}")).unwrap().connect_lazy();
    let caller = Caller::new(channel.clone(), &issuer.token("payments", ALL));
    let mut output = ErrorOutput::default();
    caller.associate(GROUP, &key("good")).await.unwrap();
    output.receive(caller.associate(GROUP, &key("none")).await);
    let auditor = Caller::new(channel.clone(), &issuer.token("payments", "logkey:audit"));
    let mut reading = AuditServiceClient::new(channel.clone());
    output.receive(reading.list_audit_events(auditor.request(ListAuditEventsRequest::default())).await);
    let logged = || String::from_utf8_lossy(&fs::read(log.path()).unwrap()).into_owned();
    until("the sink's role", async || logged().contains("LogKeyAuditSink")).await;

    // The server's password changes, and every session ends.
    let mut session = postgres.session("logkey").await;
    let change = |to: &str| sqlx::AssertSqlSafe(format!("ALTER ROLE logkey PASSWORD '{to}'"));
    sqlx::query(change(&other)).execute(&mut session).await.unwrap();
    let end =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'logkey'";
    let finished: i64 = sqlx::query(end).fetch_one(&mut session).await.unwrap().get(0);
    assert!(finished > 0);
    let refused = caller.associate(GROUP, &key("good")).await.unwrap_err();
    assert_eq!(reason(&refused), "AUDIT_UNAVAILABLE");
    output.receive::<()>(Err(refused));
    output.receive(reading.list_audit_events(auditor.request(ListAuditEventsRequest::default())).await);
    until("unreadiness", async || get("readyz").await.0 == 503).await;
    until("the server's rejection", async || logged().contains("password authentication failed")).await;
    let mut texts = vec![("readyz", get("readyz").await.1), ("metrics", get("metrics").await.1)];
    texts.push(("a refused password", run(&["audit", "verify", "--config", &config])));
    sqlx::query(change(&password)).execute(&mut session).await.unwrap();
    session.close().await.unwrap();
    until("readiness", async || get("readyz").await.0 == 200).await;

    texts.extend(commands((&url, &password), &config, |bad| {
        let store = format!("url = \"{bad}\"");
        let path = file("bad.toml");
        fs::write(&path, settings(&store, &aws.endpoint(), &redis_url, &key_file, &sink_secret)).unwrap();
        path
    }));

    // The server and Redis crash; then the settings become invalid.
    postgres.crash();
    drop(redis);
    output.receive(caller.associate(GROUP, &key("good")).await);
    until("unreadiness", async || get("readyz").await.0 == 503).await;
    texts.push(("readyz", get("readyz").await.1));
    fs::write(&config, text.replace("[store]", "[store]\nurlx = 1")).unwrap();
    until("the refusal", async || logged().contains("not reloaded")).await;
    drop(service);
    texts.push(("the log", logged()));
    texts.push(("errors", String::from_utf8_lossy(&output.0).into_owned()));

    let log = &texts.iter().find(|(location, _)| *location == "the log").unwrap().1;
    for sign in ["\"TRACE\"", "sqlx", "redis", "AKIASANDBOXHUB"] {
        assert!(log.contains(sign), "{sign} is not in the log");
    }
    let mut secrets = vec![
        ("the server's password", password),
        ("its other password", other),
        ("Redis's password", redis_password),
        ("the sink's external id", sink_secret),
    ];
    secrets.extend(aws.sandbox().session_secrets().into_iter().map(|secret| ("a session's secret", secret)));
    let found = found_in(&texts, &secrets);
    assert!(found.is_empty(), "{}, such as {:#?}", found.len(), &found[..found.len().min(12)]);
}
