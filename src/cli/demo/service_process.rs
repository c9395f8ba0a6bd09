//! The service of the demo, as its own process: only so can the demo kill it.

use std::{
    error::Error,
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long the service may take to start, and to stop.
const TIMEOUT: Duration = Duration::from_mins(1);
/// How often the demo looks whether it did.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The metric with the time that calls wait for AWS's quotas.
const WAIT_SUM: &str = "logkey_upstream_wait_seconds_sum";

/// A running service; dropping it kills the process.
pub(super) struct ServiceProcess {
    child: Child,
    config: PathBuf,
    verbose: bool,
    /// The address for gRPC.
    pub(super) grpc: SocketAddr,
    /// The address for HTTP.
    pub(super) admin: SocketAddr,
}

/// An address of this machine for gRPC, with this port or a free one, and a free one for HTTP.
pub(super) fn addresses(port: u16) -> std::io::Result<[SocketAddr; 2]> {
    // Both are open at the same time, so they differ.
    let listeners =
        [TcpListener::bind((Ipv4Addr::LOCALHOST, port))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?];
    let [grpc, admin] = &listeners;
    Ok([grpc.local_addr()?, admin.local_addr()?])
}

// === impl ServiceProcess ===

impl ServiceProcess {
    /// Starts `logkey serve` with a configuration that names these addresses, and waits until it is ready.
    pub(super) async fn start(
        config: &Path,
        [grpc, admin]: [SocketAddr; 2],
        verbose: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let child = spawn(config, verbose)?;
        let mut service = Self { child, config: config.to_owned(), verbose, grpc, admin };
        service.wait_until_ready().await?;
        Ok(service)
    }

    /// Ends the process as a power cut would, without a chance to finish anything.
    pub(super) fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Starts the process again after [`ServiceProcess::kill`].
    pub(super) async fn restart(&mut self) -> Result<(), Box<dyn Error>> {
        self.child = spawn(&self.config, self.verbose)?;
        self.wait_until_ready().await
    }

    /// Stops the process gracefully.
    pub(super) async fn stop(mut self) -> Result<ExitStatus, Box<dyn Error>> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err("the service did not stop in time".into());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// How long all calls together have waited for AWS's quotas since the process started.
    pub(super) async fn quota_wait(&self) -> Result<Duration, Box<dyn Error>> {
        let metrics = self.get("metrics").await?.text().await?;
        let sums = metrics.lines().filter(|line| line.starts_with(WAIT_SUM));
        let seconds = sums.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        client.get(format!("http://{}/{path}", self.admin)).send().await?.error_for_status()
    }

    async fn wait_until_ready(&mut self) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + TIMEOUT;
        while self.get("readyz").await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(log_file(&self.config)).unwrap_or_default();
                return Err(format!("the service ended with {status}:\n{log}").into());
            }
            if Instant::now() > deadline {
                return Err("the service was not ready in time".into());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }
}

impl Drop for ServiceProcess {
    fn drop(&mut self) {
        // It has ended already if this fails.
        drop(self.kill());
    }
}

fn spawn(config: &Path, verbose: bool) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    // Settings and credentials of the user's own do not belong into the demo.
    let own = std::env::vars_os().map(|(name, _value)| name);
    for name in own.filter(|name| {
        name.to_string_lossy().starts_with("LOGKEY_") || name.to_string_lossy().starts_with("AWS_")
    }) {
        command.env_remove(name);
    }
    command.env("AWS_ACCESS_KEY_ID", "AKIASANDBOXHUB").env("AWS_SECRET_ACCESS_KEY", "anything");
    if !verbose {
        command.stderr(File::create(log_file(config))?);
    }
    command.spawn()
}

fn log_file(config: &Path) -> PathBuf {
    config.with_extension("log")
}
