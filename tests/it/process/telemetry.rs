//! Log lines and metrics: they hold up no call, and have no series of what was removed.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;
use crate::harness::{ALL, Caller};

/// The name of an issuer beside the usual one.
const OTHER_ISSUER: &str = "https://other.example.com";
/// The maximum number of calls until log lines are lost.
const MAX_CALLS: u32 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pipe_of_log_lines_holds_up_neither_a_call_nor_the_stop() {
    let limits = "limits = { per_second = 100000, burst = 100000, max_in_flight = 100 }\n";
    let tenant = SettingsText::default().tenant("payments", limits).to_string();
    let trace = [("LOGKEY__TELEMETRY__LOG_LEVEL", Path::new("trace"))];
    // Nobody reads standard error until the process has ended.
    let mut process = Process::serve_with(tempfile::tempdir().unwrap(), "", &tenant, &trace).await;
    process.until_metric("logkey_log_lines_lost_total ").await;
    let caller = Caller::new(process.channel(), &process.issuer.token("payments", ALL));
    let url = format!("http://{}/metrics", process.admin);
    for calls in 1.. {
        assert!(calls < MAX_CALLS, "no log line was lost");
        caller.who_am_i().await.unwrap();
        if calls % 50 == 0 {
            let metrics = reqwest::get(&url).await.unwrap().text().await.unwrap();
            if !metrics.contains("\nlogkey_log_lines_lost_total 0\n") {
                break;
            }
        }
    }
    process.signal("-TERM");
    assert!(process.child.wait().unwrap().success());
}

#[tokio::test]
async fn series_of_a_removed_issuer_vanish() {
    let folder = tempfile::tempdir().unwrap();
    let mut keys: serde_json::Value = serde_json::from_str(&TestIssuer::new("k").jwks()).unwrap();
    let unusable = serde_json::json!({ "kty": "oct", "kid": "secret", "k": "AAAA" });
    keys["keys"].as_array_mut().unwrap().push(unusable);
    let other = folder.path().join("other.json");
    std::fs::write(&other, keys.to_string()).unwrap();
    let below = SettingsText::default().issuer(OTHER_ISSUER, &other).to_string();
    let process = Process::serve_in(folder, "", &below).await;
    for series in [
        format!("logkey_jwks_age_seconds{{issuer=\"{OTHER_ISSUER}\"}}"),
        format!("logkey_jwks_unusable_keys{{issuer=\"{OTHER_ISSUER}\"}} 1"),
        format!("logkey_jwks_unusable_keys{{issuer=\"{ISSUER}\"}} 0"),
        format!("logkey_jwks_fetches_total{{issuer=\"{OTHER_ISSUER}\",outcome=\"ok\"}} 1"),
    ] {
        process.until_metric(&series).await;
    }
    let with_other = std::fs::read_to_string(&process.config).unwrap();
    std::fs::write(&process.config, with_other.replace(&below, "")).unwrap();
    process.signal("-HUP");
    process.until_metric("logkey_reloads_total{outcome=\"taken\"} 1").await;
    let url = format!("http://{}/metrics", process.admin);
    let metrics = reqwest::get(&url).await.unwrap().text().await.unwrap();
    let left: Vec<&str> = metrics.lines().filter(|line| line.contains(OTHER_ISSUER)).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(metrics.contains(&format!("logkey_jwks_age_seconds{{issuer=\"{ISSUER}\"}}")), "{metrics}");
}

#[tokio::test]
async fn the_admin_port_refuses_long_bodies() {
    let process = Process::serve().await;
    let announced = format!("content-length: {}\r\n\r\n", 1_u64 << 40);
    // One is announced, and one has no announced end.
    for (path, rest) in [("/livez", &*announced), ("/metrics", "transfer-encoding: chunked\r\n\r\n")] {
        let mut stream = TcpStream::connect(process.admin).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: logkey\r\n{rest}");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut answers, mut body) = stream.into_split();
        // The service closes the connection, and reads on in neither case.
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
        let writing = tokio::spawn(async move { while body.write_all(chunk.as_bytes()).await.is_ok() {} });
        let mut answer = Vec::new();
        // A reset after the answer is a closed connection too.
        drop(answers.read_to_end(&mut answer).await);
        writing.await.unwrap();
        let answer = text(&answer);
        let refused = ["HTTP/1.1 413 ", "HTTP/1.1 405 "].iter().any(|status| answer.starts_with(status));
        assert!(refused || answer.is_empty(), "{answer}");
    }
    let answer = reqwest::get(format!("http://{}/livez", process.admin)).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ok\n");
}
