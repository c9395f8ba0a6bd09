//! The measured service, as `logkey serve` runs it, with the AWS stand-in or with AWS stubbed in process.

use std::{fmt::Write as _, fs, net::SocketAddr, path::Path, sync::Arc};

use logkey::{
    app::{
        AdminPort, App, AwsPorts, Listeners,
        telemetry::{self, ProcessTelemetry},
    },
    config::{EmptyEnv, Settings, join_diagnostics},
};
use tokio::net::TcpListener;

use crate::{
    Outcome,
    load::CALLERS,
    method::{EXTERNAL_ID, REGION, ROLE, account},
    parent::{parent_exit, ready},
    stub::StubbedAws,
};

/// Limits that are checked but never reached.
const NO_LIMIT: u32 = 1_000_000;

/// The settings of the only tenant.
#[derive(Clone, Copy)]
pub(crate) struct Tenant {
    accounts: usize,
    per_second: u32,
    /// The units of the limit that a read takes.
    read_cost: u32,
}

/// Runs the service with the settings in `folder` until standard input ends.
#[tokio::main]
pub(crate) async fn serve(folder: &str, stubbed: bool) -> Outcome<()> {
    let settings = Settings::load(&Path::new(folder).join("logkey.toml"), &EmptyEnv);
    let settings = settings.map_err(|diagnostics| join_diagnostics(&diagnostics))?;
    let ProcessTelemetry { metrics, log: _log } = telemetry::init(&settings.telemetry, None)?;
    let upstream = stubbed.then(|| {
        let aws = Arc::new(StubbedAws);
        AwsPorts {
            associations: aws.clone(),
            log_groups: aws.clone(),
            keys: aws.clone(),
            queries: aws.clone(),
            roles: aws.clone(),
            quotas: aws,
        }
    });
    let app = App::start(settings, upstream).await?;
    let free = || TcpListener::bind("127.0.0.1:0");
    let listeners = Listeners { grpc: free().await?, admin: AdminPort::serve(free().await?, Some(metrics)) };
    ready(&listeners.grpc.local_addr()?.to_string())?;
    Ok(app.run(listeners, parent_exit()).await?)
}

/// Writes the settings of a service that calls AWS at `aws` into `folder`, next to `jwks.json`.
pub(crate) fn write_settings(
    folder: &Path,
    issuer: &str,
    aws: &str,
    listen: [SocketAddr; 2],
    tenant: Tenant,
) -> Outcome<()> {
    let here = folder.display();
    let [grpc, admin] = listen;
    let Tenant { accounts, per_second, read_cost } = tenant;
    let mut settings = format!(
        r#"
        [server]
        listen = "{grpc}"
        admin_listen = "{admin}"
        [store]
        url = "sqlite://{here}/logkey.db"
        [audit]
        reads = false
        [[auth.issuers]]
        issuer = "{issuer}"
        audiences = ["logkey"]
        jwks_file = "{here}/jwks.json"
        algorithms = ["ES256"]
        [limits.costs]
        read = {read_cost}
        [limits.upstream]
        associate_per_second = {NO_LIMIT}
        [aws]
        region = "{REGION}"
        endpoint_url = "{aws}"
        [[tenants]]
        id = "bench"
        issuers = ["{issuer}"]
        limits = {{ per_second = {per_second}, burst = {NO_LIMIT}, max_in_flight = 1000 }}
        "#
    );
    for account in (0..accounts).map(account) {
        write!(
            settings,
            r#"
        [[tenants.accounts]]
        account_id = "{account}"
        role_arn = "arn:aws:iam::{account}:role/{ROLE}"
        external_id = "{EXTERNAL_ID}"
        regions = ["{REGION}"]
        log_groups = ["/bench/*"]
        kms_keys = ["arn:aws:kms:*:{account}:key/*"]
        "#
        )?;
    }
    Ok(fs::write(folder.join("logkey.toml"), settings)?)
}

// === impl Tenant ===

impl Tenant {
    /// One account for each caller, and limits that no caller reaches.
    pub(crate) const WIDE: Self = Self { accounts: CALLERS, per_second: NO_LIMIT, read_cost: 1 };
    /// One account.
    pub(crate) const ONE_ACCOUNT: Self = Self { accounts: 1, ..Self::WIDE };
    /// The first read takes the whole burst, which then takes hours to refill.
    pub(crate) const OVER_LIMIT: Self = Self { per_second: 100, read_cost: NO_LIMIT, ..Self::ONE_ACCOUNT };
}
