//! `logkey healthcheck`, as a container or a script runs it.

use super::*;

/// Runs the command, and returns its exit code and output.
fn healthcheck(arguments: &[&str]) -> (Option<i32>, String) {
    let result = output(&[&["healthcheck"], arguments].concat());
    (result.status.code(), text(&result.stdout) + &text(&result.stderr))
}

#[tokio::test]
async fn the_health_of_a_service_is_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let above = "[telemetry]\nlog_level = \"warn\"\n";
    let process = Process::serve_in(folder, above, "").await;
    process.until_metric("logkey_ready 1").await;
    let config = process.config.clone();
    let admin = format!("http://{}", process.admin);
    for arguments in [&["--config", &config][..], &["--admin", &admin], &["--live", "--config", &config]] {
        let (code, output) = tokio::task::spawn_blocking({
            let arguments: Vec<String> = arguments.iter().map(|&part| part.to_owned()).collect();
            move || healthcheck(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        })
        .await
        .unwrap();
        assert_eq!(code, Some(0), "{arguments:?}: {output}");
    }
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_service_that_does_not_answer_is_unhealthy() {
    let folder = tempfile::tempdir().unwrap();
    let [grpc, admin] = free_addresses().unwrap();
    let config = settings(folder.path(), grpc, admin);
    let (code, output) = healthcheck(&["--config", &config]);
    assert!(
        code == Some(1) && output.contains("the service does not answer at http://127.0.0.1"),
        "{output}"
    );
    let (code, output) = healthcheck(&["--config", "/nonexistent/logkey.toml"]);
    assert!(code == Some(2) && output.contains("/nonexistent/logkey.toml"), "{output}");
}
