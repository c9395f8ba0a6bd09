//! Real servers, each ended with its test.

use std::{
    collections::HashSet,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex},
};

use rand::Rng as _;

use super::{secured::Papers, *};

/// A real server, ended with the test.
pub(super) struct Server {
    process: Child,
    pub(super) port: u16,
    arguments: Vec<String>,
    /// What it asks an operator for.
    pub(super) password: &'static str,
    /// How an operator reaches it.
    way: Vec<String>,
    /// Where it leaves what it writes.
    folder: tempfile::TempDir,
}

/// A port that nobody has. It lies below those that connections get: while a server is not up yet, or
/// is down, a connection of another test could otherwise take its port.
pub(super) fn free_port() -> u16 {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    loop {
        let port = rand::rng().random_range(10_000..30_000);
        if GIVEN.lock().unwrap().insert(port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Server {
    pub(super) fn start() -> Self {
        Self::with(free_port(), &[])
    }

    /// With more settings, as `--name value`.
    pub(super) fn with(port: u16, more: &[&str]) -> Self {
        let port_too = ["--port", &port.to_string()].map(ToOwned::to_owned);
        Self::listening(port, port_too.into(), Vec::new(), more)
    }

    /// Over TLS alone, with more settings.
    pub(super) fn over_tls(port: u16, papers: &Papers, more: &[&str]) -> Self {
        let settings = papers.settings(port).into_iter();
        let listens = settings.flat_map(|(name, value)| [format!("--{name}"), value]).collect();
        Self::listening(port, listens, papers.way(), more)
    }

    fn listening(port: u16, listens: Vec<String>, way: Vec<String>, more: &[&str]) -> Self {
        let mut arguments: Vec<_> =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(Into::into).into();
        arguments.extend(listens);
        arguments.extend(more.iter().map(ToString::to_string));
        let folder = tempfile::tempdir().unwrap();
        let process = Self::spawn(&arguments, folder.path());
        Self { process, port, arguments, password: "", way, folder }
    }

    /// A Sentinel that watches over the server at `master`.
    pub(super) fn sentinel(folder: &Path, master: u16) -> Self {
        Self::sentinel_with(folder, master, "", "")
    }

    /// One that asks for a password of its own, with more settings.
    pub(super) fn sentinel_with(folder: &Path, master: u16, password: &'static str, more: &str) -> Self {
        let requests = if password.is_empty() { String::new() } else { format!("requirepass {password}\n") };
        let port = free_port();
        let listens = format!("port {port}\n");
        let mut sentinel = Self::sentinel_listening(folder, port, master, &(listens + &requests), more);
        sentinel.password = password;
        sentinel
    }

    /// One that listens over TLS alone, and finds the server so.
    pub(super) fn sentinel_over_tls(folder: &Path, master: u16, papers: &Papers) -> Self {
        let port = free_port();
        let lines = papers.settings(port).map(|(name, value)| format!("{name} {value}\n"));
        let listens = lines.concat() + "tls-replication yes\n";
        let mut sentinel = Self::sentinel_listening(folder, port, master, &listens, "");
        sentinel.way = papers.way();
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
        Self { process, port, arguments, password: "", way: Vec::new(), folder }
    }

    fn spawn(arguments: &[String], folder: &Path) -> Child {
        Command::new(std::env::var_os("LOGKEY_REDIS_SERVER").unwrap_or_else(|| "redis-server".into()))
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed: apt-get install redis-server")
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

    /// Asks it as an operator does; what is no answer is an empty text.
    pub(super) fn cli(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        if !self.password.is_empty() {
            command.env("REDISCLI_AUTH", self.password);
        }
        let answer =
            command.args(["-p", &self.port.to_string()]).args(&self.way).args(words).output().unwrap();
        String::from_utf8(answer.stdout).unwrap().trim().to_owned()
    }

    pub(super) fn url(&self) -> RedisUrl {
        format!("redis://127.0.0.1:{}", self.port).parse().unwrap()
    }

    pub(super) async fn links(&self, count: u32, on_error: OnBackendError) -> Vec<Arc<RedisBackend>> {
        links(&self.url(), count, on_error).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// So many replicas that know each other.
pub(super) async fn links(url: &RedisUrl, count: u32, on_error: OnBackendError) -> Vec<Arc<RedisBackend>> {
    links_with(url, count, on_error, PATIENT).await
}

/// So many that wait this long for a decision.
pub(super) async fn links_with(
    url: &RedisUrl,
    count: u32,
    on_error: OnBackendError,
    timeout: Duration,
) -> Vec<Arc<RedisBackend>> {
    let links: Vec<_> = (0..count).map(|_| RedisBackend::start(url, on_error, timeout).unwrap()).collect();
    for link in &links {
        until(|| link.is_up() && link.replicas() == count).await;
    }
    links
}

/// Waits for what has to come; a test that waits in vain is ended.
pub(super) async fn until(so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_mins(1), waiting).await.expect("it never came");
}
