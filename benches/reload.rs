//! Row 6 of the goals: a configuration of ten thousand tenants with three accounts each. It measures the
//! memory, relative to a service without tenants, and the p99 of a read during reloads, relative to the same
//! service at rest: `cargo bench --bench reload`.
//!
//! The service and the load have one core each. Windows alternate, and the result is the median of five
//! ratios. Another process that reads the same settings on the service's core shows how much of the effect
//! comes from sharing the core and its caches. At the end, an invalid configuration must be rejected and
//! reported.
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench prints figures of less than 2^52"
)]

#[path = "shared/addresses.rs"]
mod addresses;
#[path = "shared/child.rs"]
mod child;

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet},
};
use logkey::proto::{GetCallerRequest, tenant_service_client::TenantServiceClient};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tonic::{Request, transport::Channel};

use self::{addresses::free_addresses, child::KillOnDrop};

type Outcome<T> = Result<T, Box<dyn Error>>;

const TENANTS: usize = 10_000;
const ACCOUNTS: usize = 3;
const ISSUER: &str = "https://issuer.test";
/// Calls in flight, enough to keep a few tenths of a core busy.
const CALLERS: usize = 2;
/// The pause between two calls of one caller, so that the service is busy but not at its limit.
const PAUSE: Duration = Duration::from_millis(2);
const ROUNDS: usize = 5;
/// Reloads in one window.
const RELOADS: usize = 3;

/// A service in a separate process; dropping it ends the process.
struct Service {
    child: KillOnDrop,
    grpc: SocketAddr,
    admin: SocketAddr,
    /// How many tenants it has.
    tenants: usize,
    /// How many reloads its log reports as successful, and how many as rejected.
    reload_counts: Arc<[AtomicU64; 2]>,
}

impl Service {
    async fn start(folder: &Path, count: usize, key: &EncodingKey) -> Outcome<Self> {
        let [grpc, admin] = free_addresses()?;
        let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256)?;
        jwk.common.key_id = Some("k".into());
        fs::write(folder.join("jwks.json"), serde_json::to_string(&JwkSet { keys: vec![jwk] })?)?;
        fs::create_dir(folder.join("tenants.d"))?;
        fs::write(folder.join("tenants.d/all.toml"), tenants(count))?;
        let config = format!(
            "tenants_dir = \"tenants.d\"\n[server]\nlisten = \"{grpc}\"\nadmin_listen = \"{admin}\"\n[store]\nurl = \"sqlite://{folder}/logkey.db\"\n[audit]\nreads = false\n[telemetry]\nlog_level = \"warn,logkey::app::reload=info\"\n[limits.tenant]\nper_second = 100000\nburst = 100000\n[[auth.issuers]]\nissuer = \"{ISSUER}\"\naudiences = [\"logkey\"]\njwks_file = \"jwks.json\"\n",
            folder = folder.display(),
        );
        let path = folder.join("logkey.toml");
        fs::write(&path, config)?;
        let mut child = Command::new("taskset")
            .args(["--cpu-list", "0", env!("CARGO_BIN_EXE_logkey"), "serve", "--config"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let reload_counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        if let Some(log) = child.stderr.take() {
            let reload_counts = Arc::clone(&reload_counts);
            thread::spawn(move || count_reloads(log, &reload_counts));
        }
        let service = Self { child: KillOnDrop(child), grpc, admin, tenants: count, reload_counts };
        for _ in 0..600 {
            if let Ok(text) = service.metrics().await
                && !text.is_empty()
            {
                return Ok(service);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("the service does not respond".into())
    }

    async fn metrics(&self) -> Outcome<String> {
        Ok(reqwest::get(format!("http://{}/metrics", self.admin)).await?.text().await?)
    }

    /// Sends SIGHUP, and waits until the log reports a reload with the expected result. Returns how long that
    /// took. It polls only the log counts, because requests would cost the service time.
    async fn reload(&self, accepted: bool) -> Outcome<Duration> {
        let count = || {
            self.reload_counts
                .get(usize::from(!accepted))
                .map_or(0, |reloads| reloads.load(Ordering::Relaxed))
        };
        let (start_value, started) = (count(), Instant::now());
        // Not with the `kill` command: the calls of this process would wait while it starts.
        kill_process(Pid::from_child(&self.child), Signal::HUP)?;
        while count() == start_value {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(started.elapsed())
    }

    /// The memory of the process in KiB: `VmRSS:` is the current one, `VmHWM:` the peak.
    fn memory(&self, line: &str) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let value = status.lines().find_map(|l| l.strip_prefix(line)).ok_or("no such line")?;
        Ok(value.trim().trim_end_matches(" kB").parse()?)
    }
}

/// Counts the reloads that the log reports.
fn count_reloads(log: impl Read, reload_counts: &[AtomicU64; 2]) {
    let [accepted, rejected] = reload_counts;
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if line.contains("settings were reloaded") {
            accepted.fetch_add(1, Ordering::Relaxed);
        }
        if line.contains("settings were not reloaded") {
            rejected.fetch_add(1, Ordering::Relaxed);
        }
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

/// Calls until `stop` is set. Returns how long each call took.
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
        let started = Instant::now();
        assert!(client.get_caller(request).await.is_ok(), "a call failed");
        took.push(started.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    took
}

/// Runs other processes on the service's core that read the same settings, with the niceness of a reload.
async fn checks(folder: &Path) -> Outcome<()> {
    for _ in 0..RELOADS {
        let check =
            ["--cpu-list", "0", "nice", "-n", "10", env!("CARGO_BIN_EXE_logkey"), "check", "--config"];
        let config = folder.join("logkey.toml");
        let done = tokio::task::spawn_blocking(move || {
            Command::new("taskset")
                .args(check)
                .arg(config)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
        });
        if !done.await??.success() {
            return Err("the check failed".into());
        }
    }
    Ok(())
}

/// The durations of calls.
struct Times {
    p50: Duration,
    p99: Duration,
    calls: usize,
}

/// Measures how long calls take while `work` runs.
async fn times(
    service: &Service,
    key: &EncodingKey,
    work: impl Future<Output = Outcome<()>>,
) -> Outcome<Times> {
    let stop = Arc::new(AtomicBool::new(false));
    let calls = (0..CALLERS)
        .map(|n| Ok(tokio::spawn(call(service.grpc, token(key, n % service.tenants)?, Arc::clone(&stop)))))
        .collect::<Outcome<Vec<_>>>()?;
    let done = work.await;
    stop.store(true, Ordering::Relaxed);
    let mut took = Vec::new();
    for call in calls {
        took.extend(call.await?);
    }
    done?;
    took.sort_unstable();
    let at = |part: usize| took.get(took.len() * part / 100).copied().ok_or("no call was sent");
    Ok(Times { p50: at(50)?, p99: at(99)?, calls: took.len() })
}

fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or_default()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    // All threads of the load run on another core than the service.
    let _pinned = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", "1", &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()?;
    let key = EncodingKey::from_ec_der(&rcgen::KeyPair::generate()?.serialize_der());
    let (empty, full) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let none = Service::start(empty.path(), 1, &key).await?;
    let started = Instant::now();
    let all = Service::start(full.path(), TENANTS, &key).await?;
    println!("start with {TENANTS} tenants: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    let warm_up = async |service: &Service| {
        times(service, &key, async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        })
        .await
    };
    warm_up(&none).await?;
    warm_up(&all).await?;
    let above =
        |line| -> Outcome<f64> { Ok((all.memory(line)? as f64 - none.memory(line)? as f64) / 1024.0) };
    println!("memory of the tenants: {:.1} MiB (peak {:.1})", above("VmRSS:")?, above("VmHWM:")?);

    let (mut ratios, mut check_ratios) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (mut steady, mut changing, mut checking) = (Vec::new(), Vec::new(), Vec::new());
        // A-B-C-C-B-A.
        for window in ["rest", "reload", "check", "check", "reload", "rest"] {
            match window {
                "reload" => {
                    let reloads = async {
                        for _ in 0..RELOADS {
                            all.reload(true).await?;
                        }
                        Ok(())
                    };
                    changing.push(times(&all, &key, reloads).await?);
                }
                "check" => checking.push(times(&all, &key, checks(full.path())).await?),
                _ => {
                    let rest = async {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        Ok(())
                    };
                    steady.push(times(&all, &key, rest).await?);
                }
            }
        }
        let mean = |of: &[Times], which: fn(&Times) -> Duration| {
            1e3 * of.iter().map(|times| which(times).as_secs_f64()).sum::<f64>() / of.len() as f64
        };
        let summarize = |of| (mean(of, |times| times.p50), mean(of, |times| times.p99));
        let ((s50, s99), (r50, r99), (c50, c99)) =
            (summarize(&steady), summarize(&changing), summarize(&checking));
        println!(
            "round {round}: at rest p50 {s50:.2} ms p99 {s99:.2} ms, during reloads {r50:.2} and {r99:.2} ({} calls), \
             next to checks {c50:.2} and {c99:.2}",
            changing.iter().map(|times| times.calls).sum::<usize>(),
        );
        ratios.push(r99 / s99);
        check_ratios.push(r99 / c99);
    }
    println!("p99 during reloads, relative to at rest: {:.2} (median of {ROUNDS})", median(ratios));
    println!(
        "p99 during reloads, relative to that next to a process that reads the same settings: {:.2} (median of {ROUNDS})",
        median(check_ratios)
    );
    println!(
        "memory of the tenants after all reloads: {:.1} MiB (peak {:.1})",
        above("VmRSS:")?,
        above("VmHWM:")?
    );
    println!("one reload takes {:.0} ms", all.reload(true).await?.as_secs_f64() * 1e3);

    fs::write(full.path().join("tenants.d/invalid.toml"), "id = \"Not An Id\"\n")?;
    all.reload(false).await?;
    warm_up(&all).await?;
    println!("an invalid configuration was rejected and reported, and calls continued");
    println!("resident at the end {:.1} MiB", all.memory("VmRSS:")? as f64 / 1024.0);
    Ok(())
}
