//! Starts everything that the demo needs, on free ports of this machine and in a temporary folder.

use std::{
    error::Error,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use logkey_client::output::OutputArgs;
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::{
    service_process::{ServiceProcess, addresses},
    took::{Started, Took},
};
use crate::{
    app::SystemClock,
    cli::token::{self, TokenArgs},
    ports::Clock as _,
    sandbox::{
        Running, Sandbox,
        fault::Fault,
        seed::{KeySeed, LogGroupSeed, PolicyText, QueueSeed, SeedErrors},
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
pub(super) const FIRST_KEY: &str = "1111aaaa-11aa-11aa-11aa-111111aaaaaa";
/// Another such key.
pub(super) const NEXT_KEY: &str = "2222bbbb-22bb-22bb-22bb-222222bbbbbb";
/// A key whose policy does not let `CloudWatch` Logs use it.
pub(super) const LOCKED_KEY: &str = "3333cccc-33cc-33cc-33cc-333333cccccc";
/// The issuer of the demo's tokens.
const ISSUER: &str = "https://issuer.demo.logkey";
/// The file of the store.
const STORE: &str = "logkey.db";
/// How long the tokens are valid.
const TOKEN_LIFETIME: Duration = Duration::from_hours(8);
/// Every scope that a tenant's tools need.
pub(super) const ALL_SCOPES: &str =
    "logkey:read logkey:associate logkey:disassociate logkey:query-results logkey:audit logkey:bulk";
/// The service's own account, which has the queue of events.
const SERVICE_ACCOUNT: &str = "999999999999";

/// The result of a step that could be tried.
pub(super) type StepResult = Result<(), Box<dyn Error>>;

/// The running demo.
pub(super) struct DemoEnvironment {
    folder: Folder,
    sandbox: Running,
    channel: Channel,
    service: ServiceProcess,
}

/// A temporary folder; dropping it removes the folder.
struct Folder(PathBuf);

// === impl DemoEnvironment ===

impl DemoEnvironment {
    pub(super) async fn start(port: u16, verbose: bool) -> Result<Self, Box<dyn Error>> {
        let folder = Folder::create()?;
        let sandbox = aws()?.start().await?;
        token::make_keys(&folder.path("keys"))?;
        for tenant in ["payments", "orders", "platform"] {
            fs::write(folder.path(&format!("{tenant}.external-id")), format!("{tenant}-external-id\n"))?;
        }
        let config = folder.path("logkey.toml");
        let addresses = addresses(port)?;
        fs::write(&config, settings(&folder, &sandbox.endpoint(), addresses))?;
        let service = ServiceProcess::start(&config, addresses, verbose).await?;
        let channel = Endpoint::from_shared(format!("http://{}", service.grpc))?.connect_lazy();
        Ok(Self { folder, sandbox, channel, service })
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The start of a step, now.
    pub(super) async fn started(&self) -> Result<Started, Box<dyn Error>> {
        Ok(Started::now(self.service.quota_wait().await?))
    }

    /// How long a step took that ends now.
    pub(super) async fn took(&self, started: Started) -> Result<Took, Box<dyn Error>> {
        let total = started.elapsed();
        Ok(started.took(total, self.service.quota_wait().await?))
    }

    /// Ends the service with SIGKILL.
    pub(super) fn kill_service(&mut self) -> io::Result<()> {
        self.service.kill()
    }

    /// Starts the killed service again.
    pub(super) async fn restart_service(&mut self) -> Result<(), Box<dyn Error>> {
        self.service.restart().await
    }

    /// Makes the embedded AWS fail.
    pub(super) fn fault(&self, fault: Fault) {
        self.sandbox.sandbox().fault(fault);
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
            output: OutputArgs::default(),
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

    pub(super) fn address(&self) -> SocketAddr {
        self.service.grpc
    }

    pub(super) fn admin(&self) -> SocketAddr {
        self.service.admin
    }

    /// The file of the store.
    pub(super) fn store(&self) -> PathBuf {
        self.folder.path(STORE)
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
        let Self { folder, sandbox, channel, service } = self;
        drop(channel);
        let status = service.stop().await?;
        drop((sandbox, folder));
        if status.success() { Ok(()) } else { Err(format!("the service ended with {status}").into()) }
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
    let key = |id: &str, alias: &str, policy: &str| KeySeed {
        id: id.into(),
        region: REGION.into(),
        aliases: vec![alias.into()],
        policy: Some(PolicyText::Text(policy.into())),
        ..KeySeed::default()
    };
    let sandbox = Sandbox::builder()
        .account(SERVICE_ACCOUNT, |account| account.queue(events))
        .event_queue(&format!("arn:aws:sqs:{REGION}:{SERVICE_ACCOUNT}:events"))
        .account(PAYMENTS, |account| {
            account
                .role("LogKeyAssociator", "payments-external-id")
                .key_with(key(FIRST_KEY, "alias/first", "allow-both"))
                .key_with(key(NEXT_KEY, "alias/next", "allow-both"))
                .key_with(key(LOCKED_KEY, "alias/locked", "lacks-logs"))
                .log_group_with(group("/payments/api", Some(30)))
                .log_group_with(group("/payments/batch", None))
                .log_group_with(group("/payments/web", Some(7)))
        })
        .account(ORDERS, |account| {
            account
                .role("LogKeyAssociator", "orders-external-id")
                .key_with(key(FIRST_KEY, "alias/first", "allow-both"))
                .log_group_with(group("/orders/api", Some(30)))
        });
    let [_, _, closed] = FLEET;
    let sandbox = FLEET.into_iter().fold(sandbox, |sandbox, id| {
        let external_id = if id == closed { "of-another-service" } else { "platform-external-id" };
        let key = KeySeed {
            id: FIRST_KEY.into(),
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

/// A seed that gives a key these statements in addition to the one for the account itself.
pub(super) fn key_seed(account: &str, key: &str, alias: &str, statements: &[&str]) -> String {
    let own = format!(
        r#"{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":"kms:*","Resource":"*"}}"#
    );
    let statements = [&[&*own], statements].concat().join(",");
    format!(
        "[[accounts]]\naccount_id = \"{account}\"\n[[accounts.keys]]\nid = \"{key}\"\n\
         region = \"{REGION}\"\naliases = [\"{alias}\"]\n\
         policy = '''{{\"Version\":\"2012-10-17\",\"Statement\":[{statements}]}}'''"
    )
}

/// The ARN of a key.
pub(super) fn key_arn(account: &str, id: &str) -> String {
    format!("arn:aws:kms:{REGION}:{account}:key/{id}")
}

fn settings(folder: &Folder, aws: &str, [grpc, admin]: [SocketAddr; 2]) -> String {
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
        r#"[server]
listen = "{grpc}"
admin_listen = "{admin}"
drain_delay = "0s"

[store]
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
        store = folder.path(STORE).display(),
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
