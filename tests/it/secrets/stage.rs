//! The binary, an AWS, and a Redis with a password. All secrets are unique and therefore recognizable.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{Router, routing::post};
use bytes::Bytes;
use logkey::sandbox::{Running, Sandbox};
use parking_lot::Mutex;
use tempfile::{NamedTempFile, TempDir};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};

use crate::{
    addresses::free_addresses,
    child::KillOnDrop,
    harness::{AccountText, Caller, ISSUER, SettingsText, TestIssuer},
    process::{logkey, send_signal},
};

pub(super) const MAIN: &str = "payments";
/// The tenants for the injected faults, one for each.
pub(super) const FAULTS: [&str; 6] = ["denied", "garbled", "truncated", "reset", "expired", "hung"];
pub(super) const REGION: &str = "eu-west-1";
/// The maximum number of polls of a condition, 20 ms apart.
const MAX_POLLS: u32 = 3_000;

/// The running service with everything that it uses.
pub(super) struct Stage {
    pub(super) aws: Running,
    pub(super) issuer: TestIssuer,
    pub(super) channel: Channel,
    // Before the folder: they end before it is removed.
    service: KillOnDrop,
    redis: KillOnDrop,
    folder: TempDir,
    /// Not in the settings folder, which is watched: each log line would cause another.
    log: NamedTempFile,
    redis_port: u16,
    redis_password: String,
    admin: SocketAddr,
    service_secret: String,
    collector_secret: String,
    /// The bodies that the collector of traces received.
    spans: Arc<Mutex<Vec<u8>>>,
    /// Tokens that were sent.
    tokens: Mutex<Vec<String>>,
}

fn tenants() -> Vec<&'static str> {
    [&[MAIN, "mistaken"], &FAULTS[..]].concat()
}

/// The account id of a tenant.
pub(super) fn account(tenant: &str) -> String {
    let number = tenants().iter().position(|other| *other == tenant).unwrap();
    format!("11112222333{number}")
}

pub(super) fn group(tenant: &str) -> String {
    format!("/{tenant}/api")
}

pub(super) fn key(tenant: &str) -> String {
    format!("arn:aws:kms:{REGION}:{}:key/good", account(tenant))
}

/// A unique secret of letters and digits, which no encoding changes.
pub(super) fn secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

pub(super) fn redis(port: u16, password: &str) -> KillOnDrop {
    let process = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--requirepass", password])
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("redis-server is needed ({error}): apt-get install redis-server"));
    KillOnDrop(process)
}

/// Keeps the spans that it receives by HTTP.
async fn collector() -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let spans = Arc::<Mutex<Vec<u8>>>::default();
    let kept = Arc::clone(&spans);
    let receive = post(async move |body: Bytes| kept.lock().extend_from_slice(&body));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, Router::new().route("/v1/traces", receive)).await });
    (address, spans)
}

pub(super) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..MAX_POLLS {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("timed out waiting for {what}");
}

// === impl Stage ===

impl Stage {
    pub(super) async fn start() -> Self {
        let mut aws = Sandbox::builder().without_quotas();
        let folder = tempfile::tempdir().unwrap();
        let [grpc, admin, third] = free_addresses().unwrap();
        let redis_port = third.port();
        let (redis_password, service_secret, collector_secret) = (secret(), secret(), secret());
        let (collector, spans) = collector().await;
        let mut settings = SettingsText::default();
        for tenant in tenants() {
            let (external_id, name) = (secret(), format!("{tenant}.external-id"));
            let trusted_id = if tenant == "mistaken" { "another" } else { external_id.as_str() };
            aws = aws.account(&account(tenant), |seed| {
                seed.role("LogKeyAssociator", trusted_id)
                    .key(REGION, "good", "allow-both")
                    .log_group(REGION, &group(tenant))
            });
            fs::write(folder.path().join(&name), &external_id).unwrap();
            // In the settings, or in a separate file.
            let line = if tenant == MAIN {
                format!("external_id = \"{external_id}\"\n")
            } else {
                format!("external_id_file = \"{name}\"\n")
            };
            let account = account(tenant);
            let account = AccountText { tenant, account: &account, region: REGION, kms_keys: "*" };
            settings = settings.tenant(tenant, "").account_with(&account, &line, "query_results = true\n");
        }
        let aws = aws.build().unwrap().start().await.unwrap();
        let issuer = TestIssuer::new("key-1");
        fs::write(folder.path().join("jwks.json"), issuer.jwks()).unwrap();
        fs::write(folder.path().join("redis"), format!("redis://:{redis_password}@127.0.0.1:{redis_port}"))
            .unwrap();
        let settings = settings
            .table("telemetry", "log_level = \"trace\"\nlog_format = \"json\"\n")
            .table(
                "telemetry.otlp",
                &format!("endpoint = \"http://{collector}\"\nprotocol = \"http\"\nsample_ratio = 1\nheaders_file = \"otlp\"\n"),
            )
            .listen(grpc, admin)
            .table("server", "request_timeout = \"2s\"\n")
            .sqlite(folder.path())
            .issuer(ISSUER, Path::new("jwks.json"))
            .table("limits", "backend_file = \"redis\"\n")
            .aws(&aws.endpoint())
            .table("aws", "attempt_timeout = \"500ms\"\nassume_timeout = \"1s\"\n");
        fs::write(folder.path().join("otlp"), format!("x-key: {collector_secret}")).unwrap();
        fs::write(folder.path().join("logkey.toml"), settings.to_string()).unwrap();
        let redis = redis(redis_port, &redis_password);
        let log = NamedTempFile::new().unwrap();
        let service = logkey(&["serve", "--config", folder.path().join("logkey.toml").to_str().unwrap()])
            .env("RUST_LOG", "trace")
            .env("AWS_ACCESS_KEY_ID", "AKIASANDBOXHUB")
            .env("AWS_SECRET_ACCESS_KEY", &service_secret)
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let channel = Endpoint::from_shared(format!("http://{grpc}")).unwrap().connect_lazy();
        let tokens = Mutex::default();
        let stage = Self {
            aws,
            issuer,
            channel,
            folder,
            log,
            service: KillOnDrop(service),
            redis,
            redis_port,
            redis_password,
            admin,
            service_secret,
            collector_secret,
            spans,
            tokens,
        };
        until("readiness", async || stage.get("readyz").await.is_some()).await;
        stage
    }

    pub(super) fn token(&self, tenant: &str, scopes: &str) -> String {
        let token = self.issuer.token(tenant, scopes);
        self.remember_token(&token);
        token
    }

    pub(super) fn remember_token(&self, token: &str) {
        self.tokens.lock().push(token.to_owned());
    }

    pub(super) fn caller(&self, tenant: &str, scopes: &str) -> Caller {
        Caller::new(self.channel.clone(), &self.token(tenant, scopes))
    }

    /// Restarts Redis with another password, so that it rejects the service's.
    pub(super) async fn change_redis_password(&mut self) {
        self.redis.kill().unwrap();
        self.redis.wait().unwrap();
        until("the loss of Redis", async || self.log().contains("limits are not shared")).await;
        self.redis = redis(self.redis_port, &secret());
    }

    /// Makes the settings invalid near every secret, and waits until the reload is rejected.
    pub(super) async fn reload_invalid_settings(&self) {
        let path = self.folder.path().join("logkey.toml");
        let good = fs::read_to_string(&path).unwrap();
        let bad = good
            .replace("external_id = \"", "external_id = \"no spaces, please: ")
            .replace("[server]", "[server]\nunknown = 1");
        fs::write(self.folder.path().join("redis"), format!("no://:{}@127.0.0.1", self.redis_password))
            .unwrap();
        fs::write(path, bad).unwrap();
        until("the refusal", async || self.log().contains("not reloaded")).await;
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log.path()).unwrap()).into_owned()
    }

    async fn get(&self, path: &str) -> Option<Vec<u8>> {
        let answer = reqwest::get(format!("http://{}/{path}", self.admin)).await.ok()?;
        Some(answer.error_for_status().ok()?.bytes().await.ok()?.to_vec())
    }

    pub(super) async fn admin_port(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut texts = Vec::new();
        for path in ["metrics", "limits", "readyz", "livez"] {
            texts.push((path, self.get(path).await.unwrap_or_default()));
        }
        texts
    }

    /// The output of commands with valid and invalid settings.
    pub(super) fn commands(&self) -> Vec<(&'static str, Vec<u8>)> {
        let config = self.folder.path().join("logkey.toml");
        let config = config.to_str().unwrap();
        let admin = format!("http://{}", self.admin);
        let store = format!("sqlite://{}", self.folder.path().join("logkey.db").display());
        let run = |arguments: &[&str]| {
            let output = logkey(arguments).env("RUST_LOG", "trace").output().unwrap();
            [output.stdout, output.stderr].concat()
        };
        let check = || run(&["check", "--config", config]);
        let mut text = vec![("check of bad settings", check())];
        let bad = fs::read_to_string(config).unwrap();
        let good = bad.replace("no spaces, please: ", "").replace("\nunknown = 1", "");
        fs::write(config, good).unwrap();
        fs::write(
            self.folder.path().join("redis"),
            format!("redis://:{}@127.0.0.1:{}", self.redis_password, self.redis_port),
        )
        .unwrap();
        let explain = [
            "policy",
            "explain",
            "--config",
            config,
            "--tenant",
            MAIN,
            "--action",
            "AssociateKmsKey",
            "--log-group",
            "/payments/api",
        ];
        text.extend([
            ("check", check()),
            ("limits", run(&["limits", "--admin", &admin])),
            ("limits -o json", run(&["limits", "-o", "json", "--admin", &admin])),
            ("policy show", run(&["policy", "show", "--config", config, MAIN])),
            ("policy explain", run(&explain)),
            ("audit list", run(&["audit", "list", "--store", &store, "--limit", "10000"])),
            ("audit list --json", run(&["audit", "list", "--store", &store, "--limit", "10000", "--json"])),
            ("audit verify", run(&["audit", "verify", "--config", config])),
        ]);
        text
    }

    /// Stops the service, and returns its log, its store, and the events, which the store has compressed.
    pub(super) fn end(&mut self) -> Vec<(&'static str, Vec<u8>)> {
        send_signal(&self.service, "-TERM");
        assert!(self.service.wait().unwrap().success());
        let store = format!("sqlite://{}", self.folder.path().join("logkey.db").display());
        let list = ["audit", "list", "--store", &store, "--limit", "10000", "--json"];
        let events = logkey(&list).output().unwrap().stdout;
        assert!(events.ends_with(b"}\n"), "{}", String::from_utf8_lossy(&events));
        vec![
            ("the events", events),
            ("the log", self.log().into_bytes()),
            ("the spans", self.spans.lock().clone()),
            ("the store", fs::read(self.folder.path().join("logkey.db")).unwrap()),
        ]
    }

    /// Every secret that was used, with its name.
    pub(super) fn secrets(&self) -> Vec<(&'static str, String)> {
        let mut secrets = vec![
            ("the service identity's secret key", self.service_secret.clone()),
            ("Redis's password", self.redis_password.clone()),
            ("the secret for the collector", self.collector_secret.clone()),
        ];
        for tenant in tenants() {
            let config = fs::read_to_string(self.folder.path().join("logkey.toml")).unwrap();
            let file = fs::read_to_string(self.folder.path().join(format!("{tenant}.external-id"))).unwrap();
            assert!(tenant != MAIN || config.contains(&file));
            secrets.push(("an external id", file));
        }
        secrets.extend(
            self.aws.sandbox().session_secrets().into_iter().map(|secret| ("a session's secret", secret)),
        );
        // The part before the signature is useless without it.
        let tokens = self.tokens.lock();
        let signatures = tokens
            .iter()
            .filter_map(|token| token.split('.').nth(2))
            .filter(|signature| signature.len() > 20);
        secrets.extend(signatures.map(|signature| ("a token's signature", signature.to_owned())));
        let key = fs::read_to_string(self.folder.path().join("logkey.db.checkpoint-key.pem")).unwrap();
        secrets.push(("the checkpoint key", key.lines().nth(1).unwrap().chars().skip(24).collect()));
        secrets
    }
}
