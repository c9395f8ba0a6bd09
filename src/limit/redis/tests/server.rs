//! Starts real Redis servers and Sentinels; each one stops with its test.

use std::{
    collections::HashSet,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::LazyLock,
};

use parking_lot::Mutex;
use rand::Rng as _;

use super::{secured::Certificates, *};

/// A real server, stopped on drop.
pub(super) struct Server {
    process: Child,
    pub(super) port: u16,
    arguments: Vec<String>,
    /// The password for `redis-cli`.
    pub(super) password: &'static str,
    /// The options of `redis-cli` to reach it.
    cli_options: Vec<String>,
    /// Its working directory.
    folder: tempfile::TempDir,
}

/// A free port, below the ephemeral ports. Otherwise a connection of another test could take the port while
/// the server is not up.
pub(super) fn free_port() -> u16 {
    static USED: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    loop {
        let port = rand::rng().random_range(10_000..30_000);
        if USED.lock().insert(port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Server {
    pub(super) fn start() -> Self {
        Self::with(free_port(), &[])
    }

    /// Starts a server with additional settings, as `--name value`.
    pub(super) fn with(port: u16, more: &[&str]) -> Self {
        let port_too = ["--port", &port.to_string()].map(ToOwned::to_owned);
        Self::listening(port, port_too.into(), Vec::new(), more)
    }

    /// Starts a server that listens only with TLS, with additional settings.
    pub(super) fn over_tls(port: u16, certificates: &Certificates, more: &[&str]) -> Self {
        let settings = certificates.settings(port).into_iter();
        let listens = settings.flat_map(|(name, value)| [format!("--{name}"), value]).collect();
        Self::listening(port, listens, certificates.cli_options(), more)
    }

    fn listening(port: u16, listens: Vec<String>, cli_options: Vec<String>, more: &[&str]) -> Self {
        let mut arguments: Vec<_> =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(Into::into).into();
        arguments.extend(listens);
        arguments.extend(more.iter().map(ToString::to_string));
        let folder = tempfile::tempdir().unwrap();
        let process = Self::spawn(&arguments, folder.path());
        Self { process, port, arguments, password: "", cli_options, folder }
    }

    /// Starts a Sentinel that monitors the server at `master`.
    pub(super) fn sentinel(folder: &Path, master: u16) -> Self {
        Self::sentinel_with(folder, master, "", "")
    }

    /// Starts a Sentinel with its own password, and additional settings.
    pub(super) fn sentinel_with(folder: &Path, master: u16, password: &'static str, more: &str) -> Self {
        let require = if password.is_empty() { String::new() } else { format!("requirepass {password}\n") };
        let port = free_port();
        let listens = format!("port {port}\n");
        let mut sentinel = Self::sentinel_listening(folder, port, master, &(listens + &require), more);
        sentinel.password = password;
        sentinel
    }

    /// Starts a Sentinel that listens, and connects to the server, only with TLS.
    pub(super) fn sentinel_over_tls(folder: &Path, master: u16, certificates: &Certificates) -> Self {
        let port = free_port();
        let lines = certificates.settings(port).map(|(name, value)| format!("{name} {value}\n"));
        let listens = lines.concat() + "tls-replication yes\n";
        let mut sentinel = Self::sentinel_listening(folder, port, master, &listens, "");
        sentinel.cli_options = certificates.cli_options();
        sentinel
    }

    fn sentinel_listening(folder: &Path, port: u16, master: u16, listens: &str, more: &str) -> Self {
        let file = folder.join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\n{listens}dir {}\nsentinel monitor main 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n{more}",
            folder.display()
        );
        std::fs::write(&file, text).unwrap();
        let arguments = vec![file.display().to_string(), "--sentinel".to_owned()];
        let folder = tempfile::tempdir().unwrap();
        let process = Self::spawn(&arguments, folder.path());
        Self { process, port, arguments, password: "", cli_options: Vec::new(), folder }
    }

    fn spawn(arguments: &[String], folder: &Path) -> Child {
        Command::new(std::env::var_os("LOGKEY_REDIS_SERVER").unwrap_or_else(|| "redis-server".into()))
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("the tests need redis-server: apt-get install redis-server")
    }

    pub(super) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(super) fn start_again(&mut self) {
        self.process = Self::spawn(&self.arguments, self.folder.path());
    }

    /// Runs `redis-cli` and returns its output; empty if the server does not reply.
    pub(super) fn cli(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        if !self.password.is_empty() {
            command.env("REDISCLI_AUTH", self.password);
        }
        let output = command
            .args(["-p", &self.port.to_string()])
            .args(&self.cli_options)
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(super) fn url(&self) -> RedisUrl {
        format!("redis://127.0.0.1:{}", self.port).parse().unwrap()
    }

    pub(super) async fn backends(&self, count: u32, on_error: OnBackendError) -> Vec<Arc<RedisBackend>> {
        backends(&self.url(), count, on_error).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Starts `count` replicas, and waits until they know each other.
pub(super) async fn backends(url: &RedisUrl, count: u32, on_error: OnBackendError) -> Vec<Arc<RedisBackend>> {
    backends_with(url, count, on_error, LONG_TIMEOUT).await
}

/// Starts `count` replicas with this timeout of a decision.
pub(super) async fn backends_with(
    url: &RedisUrl,
    count: u32,
    on_error: OnBackendError,
    timeout: Duration,
) -> Vec<Arc<RedisBackend>> {
    let backends: Vec<_> = (0..count).map(|_| RedisBackend::start(url, on_error, timeout).unwrap()).collect();
    for backend in &backends {
        until(|| backend.is_up() && backend.replicas() == count).await;
    }
    backends
}

/// Waits until the condition holds; panics after a minute.
pub(super) async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_mins(1), waiting).await.expect("the condition did not hold within a minute");
}
