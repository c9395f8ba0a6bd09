//! Starts the whole service in the test process over an embedded AWS, and makes callers of it.

mod caller;
mod issuer;
mod postgres;
mod settings;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use logkey::{
    app::{AdminPort, App, Listeners, Reloader, RunError},
    audit::parsed_event::ParsedEvent,
    aws::ServiceCredentials,
    config::{EmptyEnv, Settings},
    ports::{EventReader, store::EventFilter},
    sandbox::{
        Running, Sandbox,
        builder::Builder,
        call_log::Entry,
        seed::{AccountSeed, KeySeed},
    },
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::transport::{Channel, Endpoint};

pub(crate) use self::{
    caller::{Caller, on_group, reason},
    issuer::{ISSUER, TestIssuer},
    postgres::Postgres,
    settings::{AccountText, SettingsText},
};

/// The account of the tenant `payments`.
pub(crate) const PAYMENTS: &str = "111122223333";
/// The account of the tenant `orders`.
pub(crate) const ORDERS: &str = "444455556666";
pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const GROUP: &str = "/payments/api";
pub(crate) const ALL: &str = "logkey:read logkey:associate logkey:disassociate logkey:query-results";

/// The embedded AWS and the settings of a service to start.
pub(crate) struct Plan {
    aws: Builder,
    top: String,
    tenants: String,
    jwks: Option<String>,
    issuer: String,
    policies: String,
    aws_settings: String,
    store: Option<String>,
}

/// A running service.
pub(crate) struct Service {
    pub(crate) sandbox: Arc<Running>,
    pub(crate) issuer: Arc<TestIssuer>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) reloader: Reloader,
    folder: TempDir,
    channel: Channel,
    log: Arc<dyn EventReader>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
}

/// The ARN of a key in the account of `payments`.
pub(crate) fn key(id: &str) -> String {
    format!("arn:aws:kms:{REGION}:{PAYMENTS}:key/{id}")
}

fn with_test_resources(account: AccountSeed, prefix: &str) -> AccountSeed {
    account
        .role("LogKeyAssociator", &format!("{prefix}-external-id"))
        .key(REGION, "good", "allow-both")
        .key(REGION, "next", "allow-both")
        .key(REGION, "closed", "lacks-logs")
        .log_group(REGION, &format!("/{prefix}/api"))
        .log_group(REGION, &format!("/{prefix}/hash#1"))
        .log_group(REGION, "/shared/by-nobody")
}

pub(crate) fn tenant(id: &str, account: &str, limits: &str) -> String {
    let kms_keys = format!("arn:aws:kms:*:{account}:key/*");
    let grant = AccountText { tenant: id, account, region: REGION, kms_keys: &kms_keys };
    let tenant = SettingsText::default().tenant(id, &format!("limits = {limits}\n"));
    tenant.account(&grant, "query_results = true\n").to_string()
}

// === impl Plan ===

impl Default for Plan {
    fn default() -> Self {
        let aws = Sandbox::builder()
            .without_quotas()
            .account(PAYMENTS, |account| with_test_resources(account, "payments"))
            .account(ORDERS, |account| with_test_resources(account, "orders"));
        let generous = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
        Self {
            aws,
            top: String::new(),
            tenants: tenant("payments", PAYMENTS, generous) + &tenant("orders", ORDERS, generous),
            jwks: None,
            issuer: String::new(),
            policies: String::new(),
            aws_settings: String::new(),
            store: None,
        }
    }
}

impl Plan {
    /// The default plan with these additional keys in the account of `payments`.
    pub(crate) fn with_keys(keys: Vec<KeySeed>) -> Self {
        Self::with_resources(|account| keys.into_iter().fold(account, AccountSeed::key_with))
    }

    /// The default plan with more resources in the account of `payments`.
    pub(crate) fn with_resources(more: impl FnOnce(AccountSeed) -> AccountSeed) -> Self {
        let aws = Sandbox::builder()
            .without_quotas()
            .account(PAYMENTS, |account| more(with_test_resources(account, "payments")))
            .account(ORDERS, |account| with_test_resources(account, "orders"));
        Self { aws, ..Self::default() }
    }

    /// Changes the embedded AWS.
    pub(crate) fn aws(mut self, more: impl FnOnce(Builder) -> Builder) -> Self {
        self.aws = more(self.aws);
        self
    }

    /// Adds top-level settings, in TOML.
    pub(crate) fn settings(mut self, toml: &str) -> Self {
        self.top.push_str(toml);
        self
    }

    /// Adds settings of the table `aws`, in TOML.
    pub(crate) fn aws_settings(mut self, toml: &str) -> Self {
        self.aws_settings.push_str(toml);
        self
    }

    /// Replaces the keys of [`TestIssuer`] in the JWKS file of the issuer.
    pub(crate) fn jwks(mut self, jwks: &str) -> Self {
        self.jwks = Some(jwks.to_owned());
        self
    }

    /// Adds settings of the issuer, in TOML.
    pub(crate) fn issuer(mut self, toml: &str) -> Self {
        self.issuer.push_str(toml);
        self
    }

    /// Adds policies of the operator, in Cedar.
    pub(crate) fn policies(mut self, cedar: &str) -> Self {
        self.policies.push_str(cedar);
        self
    }

    /// Replaces the default two tenants, in TOML.
    pub(crate) fn tenants(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.tenants);
        self
    }

    /// Stores the audit log in this server, which replicas share, instead of a file.
    pub(crate) fn over(self, postgres: &Postgres) -> Self {
        self.over_with(postgres, "")
    }

    /// Like [`Plan::over`], with additional settings of the `[audit]` table.
    pub(crate) fn over_with(self, postgres: &Postgres, audit: &str) -> Self {
        self.store(&(postgres.settings() + audit))
    }

    /// Replaces the settings of the store; the text follows the `[store]` line.
    pub(crate) fn store(mut self, toml: &str) -> Self {
        self.store = Some(toml.to_owned());
        self
    }

    pub(crate) async fn start(self) -> Service {
        let folder = tempfile::tempdir().unwrap();
        let issuer = TestIssuer::new("key-1");
        std::fs::write(folder.path().join("jwks.json"), self.jwks.unwrap_or_else(|| issuer.jwks())).unwrap();
        let sandbox = self.aws.build().unwrap().start().await.unwrap();
        let mut settings = SettingsText::default();
        if !self.policies.is_empty() {
            let policies = folder.path().join("policies");
            std::fs::create_dir(&policies).unwrap();
            std::fs::write(policies.join("operator.cedar"), &self.policies).unwrap();
            settings = settings.table("policy", &format!("dir = \"{}\"\n", policies.display()));
        }
        settings = match &self.store {
            Some(store) => settings.table("store", store),
            None => settings.sqlite(folder.path()),
        };
        settings = settings.issuer(ISSUER, &folder.path().join("jwks.json"));
        let toml = format!(
            "{top}{settings}{issuer}\n{aws}{aws_settings}",
            top = self.top,
            issuer = self.issuer,
            aws = SettingsText::default().aws(&sandbox.endpoint()),
            aws_settings = self.aws_settings,
        );
        std::fs::write(folder.path().join("head.toml"), &toml).unwrap();
        std::fs::write(folder.path().join("logkey.toml"), toml + &self.tenants).unwrap();
        Service::run(folder, Arc::new(sandbox), Arc::new(issuer)).await
    }
}

// === impl Service ===

impl Service {
    /// Starts a service with the default plan.
    pub(crate) async fn start() -> Self {
        Plan::default().start().await
    }

    async fn run(folder: TempDir, sandbox: Arc<Running>, issuer: Arc<TestIssuer>) -> Self {
        let settings = read(&folder);
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, admin) = (grpc.local_addr().unwrap(), admin_listener.local_addr().unwrap());
        let listeners = Listeners { grpc, admin: AdminPort::serve(admin_listener, None) };
        let app = App::start(settings, None).await.unwrap();
        let (log, reloader) = (app.log(), app.reloader());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(listeners, async {
            let _ = stopped.await;
        }));
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Self { sandbox, issuer, address, admin, reloader, folder, channel, log, stop, running }
    }

    /// Starts another replica with the same settings and AWS. It shares a server store, but not a file store.
    pub(crate) async fn replica(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = |folder: &TempDir| folder.path().join("logkey.db").display().to_string();
        let settings = std::fs::read_to_string(self.settings()).unwrap();
        let settings = settings.replace(&store(&self.folder), &store(&folder));
        std::fs::write(folder.path().join("logkey.toml"), settings).unwrap();
        Self::run(folder, Arc::clone(&self.sandbox), Arc::clone(&self.issuer)).await
    }

    /// Stops gracefully and starts again with the same store and AWS.
    pub(crate) async fn restart(self) -> Self {
        let Self { sandbox, issuer, folder, channel, log, stop, running, .. } = self;
        drop((channel, log));
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
        Self::run(folder, sandbox, issuer).await
    }

    /// Stops gracefully.
    pub(crate) async fn stop(self) {
        let Self { channel, log, stop, running, .. } = self;
        drop((channel, log));
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
    }

    /// Replaces the tenants in the settings file and reloads it.
    pub(crate) async fn reload(&self, tenants: &str) {
        let head = std::fs::read_to_string(self.folder.path().join("head.toml")).unwrap();
        std::fs::write(self.settings(), head + tenants).unwrap();
        self.reloader.reload(Settings::load(&self.settings(), &EmptyEnv)).await;
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.folder.path().join("logkey.toml")
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A caller with a token of this tenant with these scopes.
    pub(crate) fn caller(&self, tenant: &str, scopes: &str) -> Caller {
        Caller::new(self.channel(), &self.issuer.token(tenant, scopes))
    }

    /// Every stored event, oldest first. No call waits until a read or refusal is stored: make a change or
    /// restart the service first, because either one is stored after all earlier events.
    pub(crate) async fn events(&self) -> Vec<ParsedEvent> {
        let mut stored = self.log.list(&EventFilter::default(), None, 100_000).await.unwrap();
        stored.reverse();
        stored.iter().map(|event| ParsedEvent::try_from(event).unwrap()).collect()
    }

    /// The calls of this operation that reached the embedded AWS.
    pub(crate) fn reached(&self, operation: &str) -> Vec<Entry> {
        let all = self.sandbox.sandbox().journal();
        all.into_iter().filter(|entry| entry.operation == operation).collect()
    }
}

fn read(folder: &TempDir) -> Settings {
    let path = folder.path().join("logkey.toml");
    let mut settings = Settings::load(&path, &EmptyEnv).unwrap_or_else(|faults| panic!("{faults:?}"));
    settings.aws.service_principal = Some(ServiceCredentials {
        access_key_id: "AKIASANDBOXHUB".into(),
        secret_access_key: "not-a-secret".into(),
    });
    settings.server.grpc.drain_delay = Duration::ZERO;
    settings
}
