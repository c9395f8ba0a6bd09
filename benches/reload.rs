//! Row 6 of the goals: ten thousand tenants of three accounts each. What they take of memory beside a
//! service with none, and the 99th percentile of a read while they are taken over again, beside the same
//! service at rest: `cargo bench --bench reload`.
//!
//! Service and load stand on one core each. Windows alternate, and the median of five ratios counts. A
//! faulty set is put in between: it is kept out, and told.
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench prints figures of less than 2^52"
)]

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet},
};
use logkey::proto::{GetCallerRequest, tenant_service_client::TenantServiceClient};
use serde_json::json;
use tonic::{Request, transport::Channel};

type Outcome<T> = Result<T, Box<dyn Error>>;

const TENANTS: usize = 10_000;
const ACCOUNTS: usize = 3;
const ISSUER: &str = "https://issuer.test";
/// Calls under way at once: as many as keep a few tenths of a core busy.
const CALLERS: usize = 2;
/// Between two calls of one caller: the load is that of a service at work, not at its limit.
const REST: Duration = Duration::from_millis(2);
const ROUNDS: usize = 5;

/// A service in a process of its own; ended when it is dropped.
struct Service {
    child: Child,
    grpc: SocketAddr,
    admin: SocketAddr,
    /// How many tenants it has.
    tenants: usize,
}

impl Service {
    async fn start(folder: &Path, count: usize, key: &EncodingKey) -> Outcome<Self> {
        let free = || -> Outcome<SocketAddr> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?) };
        let (grpc, admin) = (free()?, free()?);
        let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256)?;
        jwk.common.key_id = Some("k".into());
        fs::write(folder.join("jwks.json"), serde_json::to_string(&JwkSet { keys: vec![jwk] })?)?;
        fs::create_dir(folder.join("tenants.d"))?;
        fs::write(folder.join("tenants.d/all.toml"), tenants(count))?;
        let config = format!(
            "tenants_dir = \"tenants.d\"\n[server]\nlisten = \"{grpc}\"\nadmin_listen = \"{admin}\"\n[store]\nurl = \"sqlite://{folder}/logkey.db\"\n[audit]\nreads = false\n[telemetry]\nlog_level = \"warn\"\n[limits.tenant]\nper_second = 100000\nburst = 100000\n[[auth.issuers]]\nissuer = \"{ISSUER}\"\naudiences = [\"logkey\"]\njwks_file = \"jwks.json\"\n",
            folder = folder.display(),
        );
        let path = folder.join("logkey.toml");
        fs::write(&path, config)?;
        let child = Command::new("taskset")
            .args(["--cpu-list", "0", env!("CARGO_BIN_EXE_logkey"), "serve", "--config"])
            .arg(&path)
            .stdout(Stdio::null())
            .spawn()?;
        let service = Self { child, grpc, admin, tenants: count };
        for _ in 0..600 {
            if let Ok(told) = service.metrics().await
                && !told.is_empty()
            {
                return Ok(service);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("the service does not answer".into())
    }

    async fn metrics(&self) -> Outcome<String> {
        Ok(reqwest::get(format!("http://{}/metrics", self.admin)).await?.text().await?)
    }

    /// How many sets of settings were taken over, or refused.
    async fn reloads(&self, outcome: &str) -> Outcome<u64> {
        let told = self.metrics().await?;
        let wanted = format!("logkey_reloads_total{{outcome=\"{outcome}\"}} ");
        let line = told.lines().find_map(|line| line.strip_prefix(&wanted));
        Ok(line.map_or(Ok(0), str::parse)?)
    }

    /// Asks for the settings to be read again, and waits until they were: how long that took.
    async fn reload(&self, outcome: &str) -> Outcome<Duration> {
        let (before, began) = (self.reloads(outcome).await?, Instant::now());
        Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status()?;
        while self.reloads(outcome).await? == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(began.elapsed())
    }

    /// Memory of the process in KiB: now, or the most so far.
    fn memory(&self, line: &str) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let told = status.lines().find_map(|l| l.strip_prefix(line)).ok_or("no such line")?;
        Ok(told.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn tenants(count: usize) -> String {
    let mut toml = String::new();
    for tenant in 0..count {
        let _infallible = write!(toml, "[[tenants]]\nid = \"team-{tenant}\"\nissuers = [\"{ISSUER}\"]\n");
        for account in 0..ACCOUNTS {
            let id = 100_000_000_000_usize + tenant * ACCOUNTS + account;
            let _infallible = write!(
                toml,
                "[[tenants.accounts]]\naccount_id = \"{id}\"\nrole_arn = \"arn:aws:iam::{id}:role/LogKeyAssociator\"\nexternal_id = \"external-id-of-{id}\"\nregions = [\"eu-west-1\", \"us-east-1\"]\nlog_groups = [\"/team-{tenant}/*\", \"/aws/lambda/team-{tenant}-*\"]\nkms_keys = [\"arn:aws:kms:*:{id}:key/*\"]\n"
            );
        }
    }
    toml
}

fn token(key: &EncodingKey, tenant: usize) -> Outcome<String> {
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": ISSUER, "aud": "logkey", "sub": "bench", "iat": now, "nbf": now, "exp": now + 3000,
        "tenant": format!("team-{tenant}"), "scope": "logkey:read", "jti": format!("{tenant}"),
    });
    let header = Header { kid: Some("k".into()), ..Header::new(Algorithm::ES256) };
    Ok(jsonwebtoken::encode(&header, &claims, key)?)
}

/// Calls until it is told to stop: how long each took.
async fn call(grpc: SocketAddr, token: String, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let Ok(endpoint) = Channel::from_shared(format!("http://{grpc}")) else { return Vec::new() };
    let Ok(channel) = endpoint.connect().await else { return Vec::new() };
    let mut client = TenantServiceClient::new(channel);
    let mut took = Vec::new();
    let bearer = format!("Bearer {token}");
    while !stop.load(Ordering::Relaxed) {
        let mut request = Request::new(GetCallerRequest {});
        if let Ok(bearer) = bearer.parse() {
            request.metadata_mut().insert("authorization", bearer);
        }
        let began = Instant::now();
        assert!(client.get_caller(request).await.is_ok(), "a call failed");
        took.push(began.elapsed());
        tokio::time::sleep(REST).await;
    }
    took
}

/// The 99th percentile of calls while `doing` goes on, and how many there were.
async fn p99<T>(
    service: &Service,
    key: &EncodingKey,
    doing: impl Future<Output = Outcome<T>>,
) -> Outcome<(Duration, usize)> {
    let stop = Arc::new(AtomicBool::new(false));
    let calls = (0..CALLERS)
        .map(|n| Ok(tokio::spawn(call(service.grpc, token(key, n % service.tenants)?, Arc::clone(&stop)))))
        .collect::<Outcome<Vec<_>>>()?;
    let done = doing.await;
    stop.store(true, Ordering::Relaxed);
    let mut took = Vec::new();
    for call in calls {
        took.extend(call.await?);
    }
    done?;
    took.sort_unstable();
    let at = took.len() * 99 / 100;
    Ok((*took.get(at).ok_or("no call was made")?, took.len()))
}

fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or_default()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    // The whole of the load stands beside the service, not on its core.
    let _pinned = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", "1", &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()?;
    let key = EncodingKey::from_ec_der(&rcgen::KeyPair::generate()?.serialize_der());
    let (empty, full) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let none = Service::start(empty.path(), 1, &key).await?;
    let began = Instant::now();
    let all = Service::start(full.path(), TENANTS, &key).await?;
    println!("start with {TENANTS} tenants: {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    let warm = async |service: &Service| {
        p99(service, &key, async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        })
        .await
    };
    warm(&none).await?;
    warm(&all).await?;
    let above =
        |line| -> Outcome<f64> { Ok((all.memory(line)? as f64 - none.memory(line)? as f64) / 1024.0) };
    println!("memory above none: {:.1} MiB (at most so far {:.1})", above("VmRSS:")?, above("VmHWM:")?);

    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let mut steady = Vec::new();
        let mut changing = Vec::new();
        // A-B-B-A.
        for reloading in [false, true, true, false] {
            if reloading {
                let reloads = async {
                    let began = Instant::now();
                    for _ in 0..3 {
                        all.reload("taken").await?;
                    }
                    Ok(began.elapsed())
                };
                changing.push(p99(&all, &key, reloads).await?);
            } else {
                let rest = async {
                    // As often asked for metrics as while a reload is waited for.
                    let until = Instant::now() + Duration::from_secs(3);
                    while Instant::now() < until {
                        all.reloads("taken").await?;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Ok(())
                };
                steady.push(p99(&all, &key, rest).await?);
            }
        }
        let mean = |of: &[(Duration, usize)]| {
            of.iter().map(|(p99, _)| p99.as_secs_f64()).sum::<f64>() / of.len() as f64
        };
        let ratio = mean(&changing) / mean(&steady);
        println!(
            "round {round}: p99 at rest {:.2} ms, during reloads {:.2} ms ({} calls), ratio {ratio:.2}",
            mean(&steady) * 1e3,
            mean(&changing) * 1e3,
            changing.iter().map(|(_, calls)| calls).sum::<usize>(),
        );
        ratios.push(ratio);
    }
    println!("p99 while reloading, against at rest: {:.2} (median of {ROUNDS})", median(ratios));
    println!(
        "memory above none after all of these: {:.1} MiB (at most so far {:.1})",
        above("VmRSS:")?,
        above("VmHWM:")?
    );
    println!("one reload takes {:.0} ms", all.reload("taken").await?.as_secs_f64() * 1e3);

    fs::write(full.path().join("tenants.d/faulty.toml"), "id = \"Not An Id\"\n")?;
    all.reload("refused").await?;
    warm(&all).await?;
    println!("a faulty set was kept out and told, and calls went on");
    println!("resident at the end {:.1} MiB", all.memory("VmRSS:")? as f64 / 1024.0);
    Ok(())
}
