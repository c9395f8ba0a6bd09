//! The binary itself: how it starts, what it says when it cannot, how it ends.

mod audited;
mod watching;

use std::{
    io::Read as _,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use logkey::audit::checkpoint::{self, SigningKey};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::harness::{ISSUER, TestIssuer};

/// How often a start is looked at before it counts as failed: a tenth of a second each.
const LOOKS: u32 = 300;

/// The service as a process of its own by these settings, as the embedded AWS's hub; it says nothing here.
pub(crate) fn serving(settings: &Path) -> Command {
    let mut command = logkey(&["serve", "--config", settings.to_str().unwrap()]);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIASANDBOXHUB")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

pub(crate) fn logkey(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logkey"));
    command.args(arguments).stdin(Stdio::null()).env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn output(arguments: &[&str]) -> Output {
    logkey(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Addresses that were free a moment ago, each another one.
pub(crate) fn free<const N: usize>() -> [SocketAddr; N] {
    // All are taken before one is given back.
    let taken: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    taken.map(|listener| listener.local_addr().unwrap())
}

fn settings(folder: &Path, grpc: SocketAddr, admin: SocketAddr) -> String {
    settings_with(folder, &TestIssuer::new("k"), grpc, admin)
}

/// The usual settings with this issuer's keys.
fn settings_with(folder: &Path, issuer: &TestIssuer, grpc: SocketAddr, admin: SocketAddr) -> String {
    std::fs::write(folder.join("jwks.json"), issuer.jwks()).unwrap();
    let toml = format!(
        "[server]\nlisten = \"{grpc}\"\nadmin_listen = \"{admin}\"\n[store]\nurl = \"sqlite://{store}\"\n[[auth.issuers]]\nissuer = \"{ISSUER}\"\naudiences = [\"logkey\"]\njwks_file = \"{jwks}\"\n",
        store = folder.join("logkey.db").display(),
        jwks = folder.join("jwks.json").display(),
    );
    let path = folder.join("logkey.toml");
    std::fs::write(&path, toml).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A service of its own process; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    folder: TempDir,
    config: String,
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    issuer: TestIssuer,
}

impl Process {
    async fn serve() -> Self {
        Self::serve_in(tempfile::tempdir().unwrap(), "", "").await
    }

    /// A service with more settings, above and below the usual ones.
    async fn serve_in(folder: TempDir, above: &str, below: &str) -> Self {
        Self::serve_with(folder, above, below, &[]).await
    }

    /// The same in this environment.
    pub(crate) async fn serve_with(
        folder: TempDir,
        above: &str,
        below: &str,
        environment: &[(&str, &Path)],
    ) -> Self {
        let [grpc, admin] = free();
        let issuer = TestIssuer::new("k");
        let config = settings_with(folder.path(), &issuer, grpc, admin);
        let usual = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{above}{usual}{below}")).unwrap();
        let mut command = logkey(&["serve", "--config", &config]);
        command.envs(environment.iter().copied());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let process = Self { child, folder, config, grpc, admin, issuer };
        let url = format!("http://{admin}/livez");
        for _ in 0..LOOKS {
            if reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                return process;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the service does not answer");
    }

    /// A connection in plain text.
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap().connect_lazy()
    }

    /// Waits until the metric is there: settings were looked at, for one.
    async fn until_metric(&self, metric: &str) {
        let url = format!("http://{}/metrics", self.admin);
        for _ in 0..LOOKS {
            if reqwest::get(&url).await.unwrap().text().await.unwrap().contains(metric) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{metric} does not come");
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// What it wrote to standard output until it ended.
    fn written(&mut self) -> String {
        let mut written = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut written).unwrap();
        written
    }

    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let mut output = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut output).unwrap();
        (status.code(), output)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn a_service_that_ran_out_of_file_descriptors_goes_on_when_it_has_some() {
    let process = Process::serve().await;
    let files = |soft: &str| {
        let id = process.child.id().to_string();
        let limit = format!("--nofile={soft}:");
        assert!(Command::new("prlimit").args(["--pid", &id, &limit]).status().unwrap().success());
    };
    let healthy = async |channel: Channel| {
        let check = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        check.is_ok()
    };
    let endpoint = Endpoint::from_shared(format!("http://{}", process.grpc)).unwrap();
    let standing = endpoint.connect().await.unwrap();
    let (client, metrics) = (reqwest::Client::new(), format!("http://{}/metrics", process.admin));
    let metrics = async || client.get(&metrics).send().await.unwrap().text().await.unwrap();
    metrics().await;
    files("8");
    let blocked = std::net::TcpStream::connect(process.grpc).unwrap();
    let refused = "logkey_connections_refused_total{cause=\"no_file_descriptors\"}";
    for look in 0.. {
        assert!(look < LOOKS, "it accepts all the same");
        if metrics().await.contains(refused) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(healthy(standing.clone()).await, "connections that stand are served");
    files("1024");
    assert!(healthy(endpoint.connect().await.unwrap()).await, "and new ones again");
    drop(blocked);
}

#[test]
fn the_demo_answers_as_expected() {
    let done = output(&["demo"]);
    let output = text(&done.stdout);
    assert!(done.status.success(), "{output}{}", text(&done.stderr));
    assert!(
        output.contains("steps answered as expected") && output.contains("grpcurl -plaintext"),
        "{output}"
    );
    assert!(!output.contains('\u{1b}'), "colours are for terminals");
}

#[test]
fn settings_that_cannot_be_used_are_told_all_at_once_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.toml");
    std::fs::write(&path, "[server]\nlisten = \"nowhere\"\nlissten = 1\n[[tenants]]\nid = \"A B\"\n")
        .unwrap();
    for verb in ["serve", "check"] {
        let done = output(&[verb, "--config", path.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(2));
        let output = text(&done.stderr);
        for expected in ["bad.toml:2:", "bad.toml:3:", "bad.toml:5:"] {
            assert!(output.contains(expected), "{verb}: {output}");
        }
        assert!(!output.contains("nowhere"), "{output}");
    }
    assert!(!folder.path().join("logkey.db").exists());
}

#[test]
fn settings_that_cannot_be_read_are_told_in_one_line() {
    let done = output(&["serve", "--config", "/nonexistent/logkey.toml"]);
    assert_eq!(done.status.code(), Some(2));
    let output = text(&done.stderr);
    assert!(output.contains("/nonexistent/logkey.toml") && output.trim().lines().count() == 1, "{output}");
}

#[test]
fn a_port_in_use_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let [admin] = free();
    let config = settings(folder.path(), taken.local_addr().unwrap(), admin);
    let done = output(&["serve", "--config", &config]);
    assert_eq!(done.status.code(), Some(1));
    let output = text(&done.stderr);
    assert!(output.contains("cannot listen on") && output.contains("server.listen"), "{output}");
}

#[test]
fn a_store_that_cannot_be_written_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let [grpc, admin] = free();
    let config = settings(folder.path(), grpc, admin);
    std::fs::create_dir(folder.path().join("logkey.db")).unwrap();
    let done = output(&["serve", "--config", &config]);
    assert_eq!(done.status.code(), Some(1));
    let output = text(&done.stderr);
    assert!(output.contains("logkey.db"), "{output}");
}

#[tokio::test]
async fn a_second_process_on_the_same_store_does_not_start_and_the_first_goes_on() {
    let first = Process::serve().await;
    let text_of = std::fs::read_to_string(&first.config).unwrap();
    let [grpc, admin] = free();
    let other =
        text_of.replace(&first.grpc.to_string(), &grpc.to_string()).replace("admin_listen", "# admin_listen");
    let other = other.replace("[store]", &format!("admin_listen = \"{admin}\"\n[store]"));
    let path = format!("{}.second.toml", first.config);
    std::fs::write(&path, other).unwrap();
    let done = output(&["serve", "--config", &path]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("in use by another process"), "{}", text(&done.stderr));
    first.signal("-TERM");
    assert_eq!(first.end().0, Some(0));
}

#[tokio::test]
async fn a_termination_ends_it_in_order() {
    let process = Process::serve().await;
    process.signal("-TERM");
    let (code, output) = process.end();
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("stopped"), "{output}");
}

#[tokio::test]
async fn the_audit_log_goes_to_standard_output_and_the_services_own_to_standard_error() {
    let sink = "[[audit.sinks]]\ntype = \"stdout\"\n";
    let mut process = Process::serve_in(tempfile::tempdir().unwrap(), "", sink).await;
    process.until_metric("logkey_audit_sink_waiting{sink=\"stdout\"} 0").await;
    process.signal("-TERM");
    let written = process.written();
    let (code, output) = process.end();
    assert_eq!(code, Some(0), "{output}");
    let lines: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events = lines.iter().filter_map(|line| line["api"]["operation"].as_str());
    assert_eq!(events.collect::<Vec<_>>(), ["Start", "Stop"], "{written}");
    assert_eq!(lines.last().unwrap()["checkpoint"]["size"], 2, "{written}");
    assert!(output.contains("stopped") && !output.contains("class_uid"), "{output}");
}

/// What the command writes to a terminal.
fn on_a_terminal(arguments: &str, no_color: Option<&str>) -> Vec<u8> {
    let mut command = Command::new("script");
    let run = format!("{} {arguments}", env!("CARGO_BIN_EXE_logkey"));
    command.args(["--quiet", "--return", "--command", &run, "/dev/null"]).stdin(Stdio::null());
    command.env("TERM", "xterm-256color").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    if let Some(value) = no_color {
        command.env("NO_COLOR", value);
    }
    command.output().unwrap().stdout
}

#[test]
fn no_color_keeps_colours_away_from_a_terminal() {
    let escapes = |written: &[u8]| written.windows(2).filter(|pair| pair == b"\x1b[").count();
    let coloured = on_a_terminal("demo", None);
    assert!(escapes(&coloured) > 0, "{}", text(&coloured));
    let plain = on_a_terminal("demo", Some("1"));
    assert_eq!(escapes(&plain), 0, "{}", text(&plain));
    assert!(text(&plain).contains("as expected"), "{}", text(&plain));
}

#[tokio::test]
async fn every_line_about_a_call_names_its_request() {
    let tenant = format!("[[tenants]]\nid = \"payments\"\nissuers = [\"{ISSUER}\"]\n");
    let process = Process::serve_in(tempfile::tempdir().unwrap(), "", &tenant).await;
    let channel = process.channel();
    let mut ids = Vec::new();
    for n in 0..5 {
        let mut request = tonic::Request::new(logkey::proto::GetCallerRequest {});
        let id = format!("request-{n}");
        request.metadata_mut().insert("x-request-id", id.parse().unwrap());
        // Without a token: refused, and told.
        let mut client = logkey::proto::tenant_service_client::TenantServiceClient::new(channel.clone());
        client.get_caller(request).await.unwrap_err();
        ids.push(id);
    }
    process.signal("-TERM");
    let (code, output) = process.end();
    assert_eq!(code, Some(0), "{output}");
    let lines: Vec<serde_json::Value> =
        output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_calls: Vec<_> = lines.iter().filter(|line| line.get("span").is_some()).collect();
    for id in ids {
        assert!(of_calls.iter().any(|line| line["span"]["request_id"] == id.as_str()), "{id}: {output}");
    }
    let nameless = |line: &&serde_json::Value| {
        line.get("grpc.code").is_some() && line["span"]["request_id"].as_str().is_none_or(str::is_empty)
    };
    assert!(!lines.iter().any(|line| nameless(&line)), "{output}");
}

#[tokio::test]
async fn a_running_service_takes_another_key_and_is_not_archived_under_its_feet() {
    let process = Process::serve().await;
    let key = checkpoint::default_key_path(&process.folder().join("logkey.db"));
    let old = SigningKey::open(&key, "logkey").unwrap().verifier().to_owned();
    let audit = |arguments: &[&str]| {
        let done = output(&[&["audit"], arguments, &["--config", &process.config]].concat());
        (done.status.code(), text(&done.stdout) + &text(&done.stderr))
    };
    let (code, output) = audit(&["rotate-key"]);
    assert!(code == Some(0) && output.contains("the service runs: send it SIGHUP"), "{output}");
    let (code, output) = audit(&["rotate-key", "--end"]);
    assert!(code == Some(1) && output.contains("does not sign yet"), "{output}");
    process.signal("-HUP");
    let mut finished = false;
    for _ in 0..LOOKS {
        finished = audit(&["rotate-key", "--end"]).0 == Some(0);
        if finished {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(finished, "the new key does not sign");
    let archive = process.folder().join("archive");
    let (code, output) = audit(&["archive", "--older-than", "1d", "--out", archive.to_str().unwrap()]);
    assert!(code == Some(1) && output.contains("in use by another process"), "{output}");
    process.signal("-HUP");
    process.until_metric("logkey_reloads_total{outcome=\"taken\"} 2").await;
    let new = SigningKey::open(&key, "logkey").unwrap().verifier().to_owned();
    assert_ne!(old, new);
    for trusted_keys in [&old, &new] {
        let (code, output) = audit(&["verify", "--verifier", trusted_keys]);
        assert!(code == Some(0) && output.starts_with("whole: "), "{output}");
    }
    let (_, output) = audit(&["list", "--action", "RotateKey", "--json"]);
    assert!(output.lines().count() == 1 && output.contains(&old) && output.contains(&new), "{output}");
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}
