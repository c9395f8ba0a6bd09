//! Real servers, each ended with its test.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::*;

/// A real server, ended with the test.
pub(super) struct Server {
    process: Child,
    pub(super) port: u16,
    arguments: Vec<String>,
    /// Where it leaves what it writes.
    folder: tempfile::TempDir,
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    pub(super) fn start() -> Self {
        Self::with(free_port(), &[])
    }

    /// With more settings, as `--name value`.
    pub(super) fn with(port: u16, more: &[&str]) -> Self {
        let mut arguments: Vec<_> =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(Into::into).into();
        if !more.contains(&"--tls-port") {
            arguments.extend(["--port".to_owned(), port.to_string()]);
        }
        arguments.extend(more.iter().map(ToString::to_string));
        let folder = tempfile::tempdir().unwrap();
        Self { process: Self::spawn(&arguments, folder.path()), port, arguments, folder }
    }

    /// A Sentinel that watches over the server at `master`.
    pub(super) fn sentinel(folder: &Path, master: u16) -> Self {
        let port = free_port();
        let file = folder.join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nsentinel monitor main 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n",
            folder.display()
        );
        std::fs::write(&file, text).unwrap();
        let arguments = vec![file.display().to_string(), "--sentinel".to_owned()];
        let folder = tempfile::tempdir().unwrap();
        Self { process: Self::spawn(&arguments, folder.path()), port, arguments, folder }
    }

    fn spawn(arguments: &[String], folder: &Path) -> Child {
        Command::new("redis-server")
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
        let answer =
            Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(words).output().unwrap();
        String::from_utf8(answer.stdout).unwrap().trim().to_owned()
    }

    pub(super) async fn links(&self, count: u32, on_error: OnBackendError) -> Vec<Arc<Link>> {
        links(&format!("redis://127.0.0.1:{}", self.port).parse().unwrap(), count, on_error).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// So many replicas that know each other.
pub(super) async fn links(url: &RedisUrl, count: u32, on_error: OnBackendError) -> Vec<Arc<Link>> {
    let links: Vec<_> = (0..count).map(|_| Link::start(url, on_error, LONG).unwrap()).collect();
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
    timeout(Duration::from_secs(30), waiting).await.expect("it never came");
}
