//! Starts everything that the demo needs, on free ports of this machine and in a temporary folder.

use std::{
    error::Error,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use crate::{
    app::{AdminPort, App, Listeners, RunError, SystemClock, telemetry},
    audit::parsed_event::ParsedEvent,
    cli::token::{self, TokenArgs},
    config::{EmptyEnv, LogFormat, Settings, Telemetry, join_diagnostics},
    ports::{Clock as _, EventReader, store::EventFilter},
    sandbox::{
        Running, Sandbox,
        seed::{KeySeed, LogGroupSeed, QueueSeed, SeedErrors},
    },
};

/// The account of the tenant `payments`.
pub(super) const PAYMENTS: &str = "111122223333";
/// The account of the tenant `orders`.
pub(super) const ORDERS: &str = "444455556666";
/// The accounts of the tenant `platform`. The role of the last one does not trust the service at first.
pub(super) const FLEET: [&str; 3] = ["555566667777", "666677778888", "777788889999"];
/// The number of log groups in each of them.
pub(super) const FLEET_GROUPS: u32 = 12;
/// The Region of all log groups.
pub(super) const REGION: &str = "eu-west-1";
/// A key whose policy lets `CloudWatch` Logs use it.
pub(super) const GOOD_KEY: &str = "1111aaaa-11aa-11aa-11aa-111111aaaaaa";
/// Another such key.
pub(super) const NEXT_KEY: &str = "2222bbbb-22bb-22bb-22bb-222222bbbbbb";
/// A key whose policy does not let `CloudWatch` Logs use it.
pub(super) const LOCKED_KEY: &str = "3333cccc-33cc-33cc-33cc-333333cccccc";
/// The issuer of the demo's tokens.
const ISSUER: &str = "https://issuer.demo.logkey";
/// How long the tokens are valid.
const TOKEN_LIFETIME: Duration = Duration::from_hours(8);
/// Every scope that a tenant's tools need.
pub(super) const ALL_SCOPES: &str =
    "logkey:read logkey:associate logkey:disassociate logkey:query-results logkey:audit logkey:bulk";
/// The service's own account, which has the queue of events.
const SERVICE_ACCOUNT: &str = "999999999999";
/// How many audit events it reads at most.
const MAX_EVENTS: u32 = 2_000;

/// The running demo.
pub(super) struct DemoEnvironment {
    folder: Folder,
    sandbox: Running,
    address: SocketAddr,
    admin: SocketAddr,
    channel: Channel,
    log: Arc<dyn EventReader>,
    stop: oneshot::Sender<()>,
    service: JoinHandle<Result<(), RunError>>,
}

/// A temporary folder; dropping it removes the folder.
struct Folder(PathBuf);

// === impl DemoEnvironment ===

impl DemoEnvironment {
    pub(super) async fn start(port: u16, verbose: bool) -> Result<Self, Box<dyn Error>> {
        let folder = Folder::create()?;
        let level = if verbose { "info" } else { "error" };
        let metrics = telemetry::init(&Telemetry { log_format: LogFormat::Human, log_level: level.into() })?;
        let sandbox = aws()?.start().await?;
        token::make_keys(&folder.path("keys"))?;
        for tenant in ["payments", "orders", "platform"] {
            fs::write(folder.path(&format!("{tenant}.external-id")), format!("{tenant}-external-id\n"))?;
        }
        fs::write(folder.path("logkey.toml"), settings(&folder, &sandbox.endpoint()))?;
        let mut settings = Settings::load(&folder.path("logkey.toml"), &EmptyEnv)
            .map_err(|diagnostics| join_diagnostics(&diagnostics))?;
        settings.aws.service_principal = Some(crate::aws::ServiceCredentials {
            access_key_id: "AKIASANDBOXHUB".into(),
            secret_access_key: "not-a-secret".into(),
        });

        // Nobody balances load over the demo.
        settings.server.grpc.drain_delay = Duration::ZERO;
        let grpc = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let admin = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, admin_address) = (grpc.local_addr()?, admin.local_addr()?);
        let listeners = Listeners { grpc, admin: AdminPort::serve(admin, Some(metrics)) };
        let app = App::start(settings, None).await?;
        let log = app.log();
        let (stop, stopped) = oneshot::channel();
        let service = tokio::spawn(app.run(listeners, async {
            let _ = stopped.await;
        }));
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        Ok(Self { folder, sandbox, address, admin: admin_address, channel, log, stop, service })
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A token for a subject of the tenant, with these scopes.
    pub(super) fn token(&self, tenant: &str, scopes: &str) -> Result<String, Box<dyn Error>> {
        let args = TokenArgs {
            new_key: None,
            key_file: Some(self.folder.path("keys/es256.pem")),
            kid: None,
            alg: None,
            issuer: Some(ISSUER.into()),
            audience: vec!["logkey".into()],
            tenant: Some(tenant.into()),
            tenant_claim: "tenant".parse()?,
            subject: "someone@example.com".into(),
            scope: vec![scopes.into()],
            ttl: TOKEN_LIFETIME,
            claim: Vec::new(),
        };
        Ok(token::sign(&args, SystemClock.now())?)
    }

    /// A request that carries such a token.
    pub(super) fn request<T>(
        &self,
        message: T,
        tenant: &str,
        scopes: &str,
    ) -> Result<Request<T>, Box<dyn Error>> {
        let bearer: MetadataValue<Ascii> = format!("Bearer {}", self.token(tenant, scopes)?).parse()?;
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", bearer);
        Ok(request)
    }

    /// The audit events so far, oldest first.
    pub(super) async fn events(&self) -> Result<Vec<ParsedEvent>, Box<dyn Error>> {
        let mut stored = self.log.list(&EventFilter::default(), None, MAX_EVENTS).await?;
        stored.reverse();
        Ok(stored.iter().map(ParsedEvent::try_from).collect::<Result<_, _>>()?)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub(super) fn aws(&self) -> String {
        self.sandbox.endpoint()
    }

    /// Changes AWS beside the service, by a seed in TOML.
    pub(super) fn change_aws(&self, seed: &str) -> Result<(), Box<dyn Error>> {
        let seed = seed.parse().map_err(|faults: SeedErrors| faults.to_string())?;
        self.sandbox.sandbox().apply(&seed).map_err(|faults| faults.to_string().into())
    }

    /// The key of a log group in AWS.
    pub(super) fn key_in_aws(&self, account: &str, name: &str) -> Option<String> {
        self.sandbox.sandbox().log_group_key(account, REGION, name)
    }

    pub(super) fn settings(&self) -> PathBuf {
        self.folder.path("logkey.toml")
    }

    /// Shuts the service down gracefully, then removes the folder.
    pub(super) async fn stop(self) -> Result<(), Box<dyn Error>> {
        let Self { folder, sandbox, channel, stop, service, .. } = self;
        drop(channel);
        let _ = stop.send(());
        let exit = service.await?;
        drop((sandbox, folder));
        Ok(exit?)
    }
}

/// An embedded AWS with the accounts of two teams.
fn aws() -> Result<Sandbox, Box<dyn Error>> {
    let group = |name: &str, days: Option<i64>| LogGroupSeed {
        name: name.into(),
        region: REGION.into(),
        retention_days: days,
        ..LogGroupSeed::default()
    };
    let events = QueueSeed {
        name: "events".into(),
        region: REGION.into(),
        visibility_timeout: None,
        dead_letter_queue: None,
        max_receive_count: None,
    };
    let sandbox = Sandbox::builder()
        .account(SERVICE_ACCOUNT, |account| account.queue(events))
        .event_queue(&format!("arn:aws:sqs:{REGION}:{SERVICE_ACCOUNT}:events"))
        .account(PAYMENTS, |account| {
            account
                .role("LogKeyAssociator", "payments-external-id")
                .key(REGION, GOOD_KEY, "allow-both")
                .key(REGION, NEXT_KEY, "allow-both")
                .key(REGION, LOCKED_KEY, "lacks-logs")
                .log_group_with(group("/payments/api", Some(30)))
                .log_group_with(group("/payments/batch#eu", None))
                .log_group_with(group("/payments/web", Some(7)))
                .log_group_with(group("/aws/lambda/of-someone-else", None))
        })
        .account(ORDERS, |account| {
            account
                .role("LogKeyAssociator", "orders-external-id")
                .key(REGION, GOOD_KEY, "allow-both")
                .log_group_with(group("/orders/api", Some(30)))
        });
    let [_, _, closed] = FLEET;
    let sandbox = FLEET.into_iter().fold(sandbox, |sandbox, id| {
        let external_id = if id == closed { "of-another-service" } else { "platform-external-id" };
        let key = KeySeed {
            id: GOOD_KEY.into(),
            region: REGION.into(),
            aliases: vec!["alias/logs".into()],
            ..KeySeed::default()
        };
        sandbox.account(id, |account| {
            let account = account.role("LogKeyAssociator", external_id).key_with(key);
            let account = account.log_group(REGION, "/platform/ledger");
            (1..FLEET_GROUPS)
                .fold(account, |account, n| account.log_group(REGION, &format!("/platform/app-{n}")))
        })
    });
    sandbox.build().map_err(|faults| faults.to_string().into())
}

fn settings(folder: &Folder, aws: &str) -> String {
    let tenant = |id: &str, accounts: &[&str], limits: &str| {
        let account = |account: &&str| {
            format!(
                r#"
[[tenants.accounts]]
account_id = "{account}"
role_arn = "arn:aws:iam::{account}:role/LogKeyAssociator"
external_id_file = "{external_id}"
regions = ["{REGION}"]
log_groups = ["/{id}/*"]
kms_keys = ["arn:aws:kms:*:{account}:key/*"]
query_results = true
"#,
                external_id = folder.path(&format!("{id}.external-id")).display()
            )
        };
        let accounts: String = accounts.iter().map(account).collect();
        format!("\n[[tenants]]\nid = \"{id}\"\nissuers = [\"{ISSUER}\"]\nlimits = {limits}{accounts}")
    };
    format!(
        r#"[store]
url = "sqlite://{store}"

[[auth.issuers]]
issuer = "{ISSUER}"
audiences = ["logkey"]
jwks_file = "{jwks}"

[aws]
endpoint_url = "{aws}"

[fleet.events]
queue_url = "https://sqs.{REGION}.amazonaws.com/{SERVICE_ACCOUNT}/events"
{payments}{orders}{platform}"#,
        store = folder.path("logkey.db").display(),
        jwks = folder.path("keys/jwks.json").display(),
        payments = tenant("payments", &[PAYMENTS], "{ per_second = 50, burst = 100, max_in_flight = 16 }"),
        orders = tenant("orders", &[ORDERS], "{ per_second = 2, burst = 3, max_in_flight = 16 }"),
        platform = tenant("platform", &FLEET, "{ per_second = 50, burst = 100, max_in_flight = 16 }"),
    )
}

// === impl Folder ===

impl Folder {
    fn create() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("logkey-demo-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        let Self(folder) = self;
        Path::new(folder).join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that is left behind in the system's temporary folder does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
