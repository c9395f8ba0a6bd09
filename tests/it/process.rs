//! The binary: how it starts, its errors when it cannot start, and how it stops.

pub(crate) mod archiving;
mod audited;
mod backup;
mod credentials;
mod healthcheck;
mod memory;
mod other_writers;
mod page_tokens;
mod systemd;
mod telemetry;
mod upgrade;
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

use crate::{
    addresses::free_addresses,
    child::KillOnDrop,
    harness::{ISSUER, SettingsText, TestIssuer},
};

/// The maximum number of polls of a condition, 100 ms apart.
const MAX_POLLS: u32 = 300;

/// A command that runs the service with these settings and the sandbox's hub credentials, without output.
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

/// Sends a signal such as `-TERM`.
pub(crate) fn send_signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

fn output(arguments: &[&str]) -> Output {
    logkey(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn settings(folder: &Path, grpc: SocketAddr, admin: SocketAddr) -> String {
    settings_with(folder, &TestIssuer::new("k"), grpc, admin)
}

/// The default settings with this issuer's keys.
fn settings_with(folder: &Path, issuer: &TestIssuer, grpc: SocketAddr, admin: SocketAddr) -> String {
    std::fs::write(folder.join("jwks.json"), issuer.jwks()).unwrap();
    let toml = SettingsText::default()
        .listen(grpc, admin)
        .sqlite(folder)
        .issuer(ISSUER, &folder.join("jwks.json"))
        .to_string();
    let path = folder.join("logkey.toml");
    std::fs::write(&path, toml).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A service in a separate process, killed on drop.
pub(crate) struct Process {
    child: KillOnDrop,
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

    /// A service with additional settings above and below the default ones.
    async fn serve_in(folder: TempDir, above: &str, below: &str) -> Self {
        Self::serve_with(folder, above, below, &[]).await
    }

    /// A service with additional settings and environment variables.
    pub(crate) async fn serve_with(
        folder: TempDir,
        above: &str,
        below: &str,
        environment: &[(&str, &Path)],
    ) -> Self {
        let [grpc, admin] = free_addresses().unwrap();
        let issuer = TestIssuer::new("k");
        let config = settings_with(folder.path(), &issuer, grpc, admin);
        let usual = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{above}{usual}{below}")).unwrap();
        let mut command = logkey(&["serve", "--config", &config]);
        command.envs(environment.iter().copied());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let process = Self { child: KillOnDrop(child), folder, config, grpc, admin, issuer };
        let url = format!("http://{admin}/startupz");
        for _ in 0..MAX_POLLS {
            if reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                return process;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("timed out waiting for the service");
    }

    /// A connection without TLS.
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap().connect_lazy()
    }

    /// Waits until the metrics contain this text, for example the count of a reload.
    async fn until_metric(&self, metric: &str) {
        self.until_metrics(metric, |text| text.contains(metric)).await;
    }

    /// Waits until the metrics are as expected.
    async fn until_metrics(&self, expected: &str, are_so: impl Fn(&str) -> bool) {
        let url = format!("http://{}/metrics", self.admin);
        for _ in 0..MAX_POLLS {
            if are_so(&reqwest::get(&url).await.unwrap().text().await.unwrap()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("timed out waiting for {expected}");
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn signal(&self, signal: &str) {
        send_signal(&self.child, signal);
    }

    /// Everything that the process wrote to standard output until it ended.
    fn stdout(&mut self) -> String {
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

#[tokio::test]
async fn a_service_recovers_after_it_ran_out_of_file_descriptors() {
    let process = Process::serve().await;
    let limit_files = |soft: &str| {
        let id = process.child.id().to_string();
        let limit = format!("--nofile={soft}:");
        assert!(Command::new("prlimit").args(["--pid", &id, &limit]).status().unwrap().success());
    };
    let healthy = async |channel: Channel| {
        let check = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        check.is_ok()
    };
    let endpoint = Endpoint::from_shared(format!("http://{}", process.grpc)).unwrap();
    let existing = endpoint.connect().await.unwrap();
    let (client, metrics) = (reqwest::Client::new(), format!("http://{}/metrics", process.admin));
    let metrics = async || client.get(&metrics).send().await.unwrap().text().await.unwrap();
    metrics().await;
    limit_files("8");
    let blocked = std::net::TcpStream::connect(process.grpc).unwrap();
    let refused = "logkey_connections_refused_total{cause=\"no_file_descriptors\"}";
    for poll in 0.. {
        assert!(poll < MAX_POLLS, "the service still accepts connections");
        if metrics().await.contains(refused) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(healthy(existing.clone()).await, "existing connections are served");
    limit_files("1024");
    assert!(healthy(endpoint.connect().await.unwrap()).await, "new connections are accepted again");
    drop(blocked);
}

#[test]
fn the_demo_answers_as_expected() {
    let result = output(&["demo"]);
    let output = text(&result.stdout);
    assert!(result.status.success(), "{output}{}", text(&result.stderr));
    assert!(output.contains("steps answered as expected"), "{output}");
    assert!(!output.contains("Bearer"), "only --keep-running prints a token: {output}");
    assert!(!output.contains('\u{1b}'), "colours are only for terminals");
    let of_fleet = output.split_once("Plan a bulk job").unwrap().1.split_once("The audit log").unwrap().0;
    let too_wide = of_fleet.lines().find(|line| line.chars().count() > 80);
    assert_eq!(too_wide, None, "the steps of the bulk job and the rule fit into 80 columns");
}

#[tokio::test]
async fn the_metrics_of_the_fleet_exist_from_the_start() {
    let process = Process::serve().await;
    for series in [
        "logkey_bulk_stalled_seconds 0",
        "logkey_bulk_queue_age_seconds 0",
        "logkey_bulk_jobs{state=\"RUNNING\"} 0",
        "logkey_bulk_paused_jobs{reason=\"FAILURE_LIMIT\"} 0",
        "logkey_bulk_items_total{state=\"failed\"} 0",
        "logkey_bulk_items_total{state=\"unknown\"} 0",
        "logkey_bulk_open_items{state=\"waiting\"} 0",
        "logkey_rule_evaluations_total{outcome=\"failed\"} 0",
    ] {
        process.until_metric(series).await;
    }
}

#[test]
fn every_invalid_setting_is_reported_at_once_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.toml");
    std::fs::write(&path, "[server]\nlisten = \"nowhere\"\nlissten = 1\n[[tenants]]\nid = \"A B\"\n")
        .unwrap();
    for subcommand in ["serve", "check"] {
        let result = output(&[subcommand, "--config", path.to_str().unwrap()]);
        assert_eq!(result.status.code(), Some(2));
        let output = text(&result.stderr);
        for expected in ["bad.toml:2:", "bad.toml:3:", "bad.toml:5:"] {
            assert!(output.contains(expected), "{subcommand}: {output}");
        }
        assert!(!output.contains("nowhere"), "{output}");
    }
    assert!(!folder.path().join("logkey.db").exists());
}

#[test]
fn unreadable_settings_are_reported_in_one_line() {
    let result = output(&["serve", "--config", "/nonexistent/logkey.toml"]);
    assert_eq!(result.status.code(), Some(2));
    let output = text(&result.stderr);
    assert!(output.contains("/nonexistent/logkey.toml") && output.trim().lines().count() == 1, "{output}");
}

#[test]
fn a_port_in_use_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let [admin] = free_addresses().unwrap();
    let config = settings(folder.path(), occupied.local_addr().unwrap(), admin);
    let result = output(&["serve", "--config", &config]);
    assert_eq!(result.status.code(), Some(1));
    let output = text(&result.stderr);
    assert!(output.contains("cannot listen on") && output.contains("server.listen"), "{output}");
}

#[test]
fn a_store_that_cannot_be_written_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let [grpc, admin] = free_addresses().unwrap();
    let config = settings(folder.path(), grpc, admin);
    std::fs::create_dir(folder.path().join("logkey.db")).unwrap();
    let result = output(&["serve", "--config", &config]);
    assert_eq!(result.status.code(), Some(1));
    let output = text(&result.stderr);
    assert!(output.contains("logkey.db"), "{output}");
}

#[tokio::test]
async fn a_second_process_on_the_same_store_does_not_start() {
    let first = Process::serve().await;
    let first_settings = std::fs::read_to_string(&first.config).unwrap();
    let [grpc, admin] = free_addresses().unwrap();
    let other = first_settings
        .replace(&first.grpc.to_string(), &grpc.to_string())
        .replace("admin_listen", "# admin_listen");
    let other = other.replace("[store]", &format!("admin_listen = \"{admin}\"\n[store]"));
    let path = format!("{}.second.toml", first.config);
    std::fs::write(&path, other).unwrap();
    let result = output(&["serve", "--config", &path]);
    assert_eq!(result.status.code(), Some(1));
    assert!(text(&result.stderr).contains("in use by another process"), "{}", text(&result.stderr));
    first.signal("-TERM");
    assert_eq!(first.end().0, Some(0));
}

#[tokio::test]
async fn sigterm_stops_the_service_in_order() {
    let process = Process::serve().await;
    process.signal("-TERM");
    let (code, output) = process.end();
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("stopped"), "{output}");
}

#[tokio::test]
async fn audit_events_go_to_standard_output_and_logs_to_standard_error() {
    let sink = "[[audit.sinks]]\ntype = \"stdout\"\n";
    let mut process = Process::serve_in(tempfile::tempdir().unwrap(), "", sink).await;
    process.until_metric("logkey_audit_sink_waiting{sink=\"stdout\"} 0").await;
    process.signal("-TERM");
    let stdout = process.stdout();
    let (code, output) = process.end();
    assert_eq!(code, Some(0), "{output}");
    let lines: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events = lines.iter().filter_map(|line| line["api"]["operation"].as_str());
    assert_eq!(events.collect::<Vec<_>>(), ["Start", "Stop"], "{stdout}");
    assert_eq!(lines.last().unwrap()["checkpoint"]["size"], 2, "{stdout}");
    assert!(output.contains("stopped") && !output.contains("class_uid"), "{output}");
}

/// The output of a command on a terminal.
fn run_on_terminal(arguments: &str, no_color: Option<&str>) -> Vec<u8> {
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
fn no_color_disables_colours_on_a_terminal() {
    // Colours end in `m`. A progress bar moves the cursor with other sequences.
    let colours = |written: &[u8]| {
        let sequences = text(written);
        let sequences = sequences.split("\u{1b}[").skip(1);
        sequences
            .filter(|it| it.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'))
            .count()
    };
    let coloured = run_on_terminal("demo", None);
    assert!(colours(&coloured) > 0, "{}", text(&coloured));
    let plain = run_on_terminal("demo", Some("1"));
    assert_eq!(colours(&plain), 0, "{}", text(&plain));
    assert!(text(&plain).contains("as expected"), "{}", text(&plain));
}

#[tokio::test]
async fn every_log_line_about_a_call_has_its_request_id() {
    let tenant = SettingsText::default().tenant("payments", "").to_string();
    let process = Process::serve_in(tempfile::tempdir().unwrap(), "", &tenant).await;
    let channel = process.channel();
    let mut ids = Vec::new();
    for n in 0..5 {
        let mut request = tonic::Request::new(logkey::proto::GetCallerRequest {});
        let id = format!("request-{n}");
        request.metadata_mut().insert("x-request-id", id.parse().unwrap());
        // Without a token, the call is rejected and logged.
        let mut client = logkey::proto::tenant_service_client::TenantServiceClient::new(channel.clone());
        client.get_caller(request).await.unwrap_err();
        ids.push(id);
    }
    process.signal("-TERM");
    let (code, output) = process.end();
    assert_eq!(code, Some(0), "{output}");
    let lines: Vec<serde_json::Value> =
        output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let call_lines: Vec<_> = lines.iter().filter(|line| line.get("span").is_some()).collect();
    for id in ids {
        assert!(call_lines.iter().any(|line| line["span"]["request_id"] == id.as_str()), "{id}: {output}");
    }
    let lacks_request_id = |line: &&serde_json::Value| {
        line.get("grpc.code").is_some() && line["span"]["request_id"].as_str().is_none_or(str::is_empty)
    };
    assert!(!lines.iter().any(|line| lacks_request_id(&line)), "{output}");
}

#[tokio::test]
async fn a_running_service_takes_a_new_key_and_blocks_archiving() {
    let process = Process::serve().await;
    let key = checkpoint::default_key_path(&process.folder().join("logkey.db"));
    let old = SigningKey::open(&key, "logkey").unwrap().verifier().to_owned();
    let audit = |arguments: &[&str]| {
        let result = output(&[&["audit"], arguments, &["--config", &process.config]].concat());
        (result.status.code(), text(&result.stdout) + &text(&result.stderr))
    };
    let (code, output) = audit(&["rotate-key"]);
    assert!(code == Some(0) && output.contains("the service is running: send it SIGHUP"), "{output}");
    let (code, output) = audit(&["rotate-key", "--end"]);
    assert!(code == Some(1) && output.contains("does not sign yet"), "{output}");
    process.signal("-HUP");
    let mut finished = false;
    for _ in 0..MAX_POLLS {
        finished = audit(&["rotate-key", "--end"]).0 == Some(0);
        if finished {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(finished, "timed out waiting for the new key to sign");
    let archive = process.folder().join("archive");
    let (code, output) = audit(&["archive", "--older-than", "1d", "--out", archive.to_str().unwrap()]);
    assert!(code == Some(1) && output.contains("in use by another process"), "{output}");
    process.signal("-HUP");
    process.until_metric("logkey_reloads_total{outcome=\"taken\"} 2").await;
    let new = SigningKey::open(&key, "logkey").unwrap().verifier().to_owned();
    assert_ne!(old, new);
    for trusted_keys in [&old, &new] {
        let (code, output) = audit(&["verify", "--verifier", trusted_keys]);
        assert!(code == Some(0) && output.starts_with("intact: "), "{output}");
    }
    let (_, output) = audit(&["list", "--action", "RotateKey", "--json"]);
    assert!(output.lines().count() == 1 && output.contains(&old) && output.contains(&new), "{output}");
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}
