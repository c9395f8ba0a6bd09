//! The service under measurement: the whole of it as `logkey serve` runs it, in front of the AWS
//! stand-in or with AWS stubbed in process.

use std::{fmt::Write as _, fs, net::SocketAddr, path::Path, sync::Arc};

use logkey::{
    app::{App, AwsPorts, Listeners, join_faults, telemetry},
    config::{EmptyEnv, Settings},
};
use tokio::net::TcpListener;

use crate::{
    Outcome,
    anchors::{parent_is_gone, ready},
    load::CALLERS,
    method::{EXTERNAL_ID, REGION, ROLE, SERVICE_KEY, account},
    stub::StubbedAws,
};

/// Limits so wide that they are checked and never met.
const NO_LIMIT: u32 = 1_000_000;

/// Serves until standard input ends, by the settings in `folder`.
#[tokio::main]
pub(crate) async fn serve(folder: &str, stubbed: bool) -> Outcome<()> {
    let settings = Settings::load(&Path::new(folder).join("logkey.toml"), &EmptyEnv);
    let settings = settings.map_err(|faults| join_faults(&faults))?;
    let metrics = telemetry::init(&settings.telemetry)?;
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
    let app = App::start(settings, upstream, Some(metrics)).await?;
    let free = || TcpListener::bind("127.0.0.1:0");
    let listeners = Listeners { grpc: free().await?, admin: free().await? };
    ready(&listeners.grpc.local_addr()?.to_string())?;
    Ok(app.run(listeners, parent_is_gone()).await?)
}

/// Writes the settings of a service that calls AWS at `aws` into `folder`, beside `jwks.json`.
pub(crate) fn write_settings(folder: &Path, issuer: &str, aws: &str, listen: [SocketAddr; 2]) -> Outcome<()> {
    let here = folder.display();
    let [grpc, admin] = listen;
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
        [limits.upstream]
        associate_per_second = {NO_LIMIT}
        [aws]
        region = "{REGION}"
        endpoint_url = "{aws}"
        [[tenants]]
        id = "bench"
        issuers = ["{issuer}"]
        limits = {{ per_second = {NO_LIMIT}, burst = {NO_LIMIT}, max_in_flight = 1000 }}
        "#
    );
    for account in (0..CALLERS).map(account) {
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

/// What the service finds its own AWS credentials by.
pub(crate) fn credentials() -> [(&'static str, &'static str); 3] {
    [
        ("AWS_ACCESS_KEY_ID", SERVICE_KEY),
        ("AWS_SECRET_ACCESS_KEY", "not looked at"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
}
