//! The processes: the embedded AWS and the service. Dropping a value ends its process.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

use crate::{Outcome, addresses::free_addresses, child::KillOnDrop, world::World};

/// The program that contains both.
const LOGKEY: &str = env!("CARGO_BIN_EXE_logkey");
/// The interval and the maximum number of readiness checks.
const READY_POLLS: (Duration, u32) = (Duration::from_millis(100), 300);

/// An embedded AWS.
pub(crate) struct Sandbox {
    _child: KillOnDrop,
    /// Kept open, so that later output does not fail.
    _stdout: BufReader<ChildStdout>,
    pub(crate) endpoint: String,
}

/// The service.
pub(crate) struct Service {
    child: KillOnDrop,
    pub(crate) address: SocketAddr,
}

/// The environment variables with the credentials of the service identity.
pub(crate) fn service_principal() -> [(&'static str, &'static str); 4] {
    [
        ("AWS_ACCESS_KEY_ID", "AKIASANDBOXHUB"),
        ("AWS_SECRET_ACCESS_KEY", "anything"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_DEFAULT_REGION", crate::world::REGION),
    ]
}

// === impl Sandbox ===

impl Sandbox {
    /// Starts a new embedded AWS with the seed of the job.
    pub(crate) async fn start(world: &World) -> Outcome<Self> {
        let mut child = Command::new(LOGKEY)
            .args(["sandbox", "--listen", "127.0.0.1:0", "--seed"])
            .arg(world.seed()?)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let (child, mut stdout) = (KillOnDrop(child), BufReader::new(stdout));
        let mut line = String::new();
        while stdout.read_line(&mut line)? > 0 {
            let address = line.split_whitespace().find(|word| word.starts_with("http://"));
            if let Some(endpoint) = address.map(str::to_owned) {
                reqwest::get(format!("{endpoint}/_sandbox/health")).await?.error_for_status()?;
                return Ok(Self { _child: child, _stdout: stdout, endpoint });
            }
            line.clear();
        }
        Err("the embedded AWS did not start".into())
    }
}

// === impl Service ===

impl Service {
    pub(crate) async fn start(world: &World, aws: &Sandbox) -> Outcome<Self> {
        let [address, admin] = free_addresses()?;
        let child = Command::new(LOGKEY)
            .args(["serve", "--config"])
            .arg(world.settings(&aws.endpoint, [address, admin])?)
            .envs(service_principal())
            .spawn()?;
        let service = Self { child: KillOnDrop(child), address };
        for _ in 0..READY_POLLS.1 {
            let ready = reqwest::get(format!("http://{admin}/readyz")).await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(service);
            }
            tokio::time::sleep(READY_POLLS.0).await;
        }
        Err("the service did not start".into())
    }

    /// The CPU time of the process so far, all threads (`proc_pid_stat(5)`, fields 14 and 15, in ticks of 10 ms).
    pub(crate) fn cpu_time(&self) -> Outcome<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(')').ok_or("no process name")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
    }

    /// The memory of the process in KiB: `VmRSS:` is the current one, `VmHWM:` the peak.
    pub(crate) fn memory(&self, field: &str) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }
}

/// Runs the program to its end, and returns its output.
pub(crate) fn logkey(words: &[&str]) -> Outcome<String> {
    let output = Command::new(LOGKEY).args(words).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("logkey {words:?} failed").into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
