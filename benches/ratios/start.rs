//! How long the command takes from its start until it reports SERVING, and how large it is.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    Outcome,
    child::KillOnDrop,
    compare::{ROUNDS, Spread},
    method::SERVICE_KEY,
    server::aws_credentials,
};

/// The command, built with the same profile as this bench.
const COMMAND: &str = env!("CARGO_BIN_EXE_logkey");
/// The time between two health checks.
const POLL_INTERVAL: Duration = Duration::from_micros(200);
/// How long the command may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The status `SERVING` of `grpc.health.v1`.
const SERVING: i32 = 1;

/// Starts the command repeatedly with the settings in `folder`, the first time with a new store.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn measure(folder: &Path) -> Outcome<String> {
    let settings = folder.join("logkey.toml");
    let first = start(&settings).await?;
    let mut again = Vec::new();
    for _ in 0..ROUNDS {
        again.push(start(&settings).await?.as_secs_f64() * 1e3);
    }
    let again = Spread::of(again);
    let bytes = u32::try_from(fs::metadata(COMMAND)?.len())?;
    Ok(format!(
        "13: start to SERVING {:.1} ms ({:.1} to {:.1}), with a new store {:.1} ms; the command has {:.1} MB",
        again.median,
        again.min,
        again.max,
        first.as_secs_f64() * 1e3,
        f64::from(bytes) / 1e6,
    ))
}

async fn start(settings: &Path) -> Outcome<Duration> {
    let text: toml::Table = fs::read_to_string(settings)?.parse()?;
    let listen = text.get("server").and_then(|server| server.get("listen")).and_then(|at| at.as_str());
    let endpoint = Endpoint::from_shared(format!("http://{}", listen.ok_or("no address")?))?;
    let started = Instant::now();
    let child = Command::new(COMMAND)
        .args(["serve", "--config"])
        .arg(settings)
        .envs(aws_credentials(SERVICE_KEY))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut running = KillOnDrop(child);
    while started.elapsed() < START_TIMEOUT {
        if let Ok(channel) = endpoint.connect().await {
            let response = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
            if response.is_ok_and(|answer| answer.into_inner().status == SERVING) {
                return Ok(started.elapsed());
            }
        }
        if let Some(status) = running.try_wait()? {
            return Err(format!("{COMMAND} ended with {status}").into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Err("the command did not report SERVING in time".into())
}
