//! The audit log of the binary: a sink that cannot be written, and a log that was tampered with.

use sqlx::Connection as _;

use super::*;
use crate::audit_commands_offline::grow;

/// The value of a metric, if the service exports it.
async fn metric(process: &Process, name: &str) -> Option<f64> {
    let text = reqwest::get(format!("http://{}/metrics", process.admin)).await.unwrap().text().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

async fn until(process: &Process, name: &str, condition: impl Fn(f64) -> bool) {
    for _ in 0..MAX_POLLS {
        if metric(process, name).await.is_some_and(&condition) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} stays {:?}", metric(process, name).await);
}

#[tokio::test]
async fn a_failing_sink_is_reported_with_its_lag_until_it_has_caught_up() {
    let folder = tempfile::tempdir().unwrap();
    let sink_folder = folder.path().join("not-there-yet");
    let path = sink_folder.join("audit.jsonl");
    let sink = format!("[[audit.sinks]]\ntype = \"file\"\nname = \"copy\"\npath = \"{}\"\n", path.display());
    let process = Process::serve_in(folder, "", &sink).await;
    let missing = "logkey_audit_sink_failures_total{sink=\"copy\",cause=\"missing\"}";
    until(&process, missing, |failures| failures >= 2.0).await;
    until(&process, "logkey_audit_sink_waiting{sink=\"copy\"}", |waiting| waiting >= 1.0).await;
    until(&process, "logkey_audit_sink_lag_seconds{sink=\"copy\"}", |lag| lag > 0.3).await;
    let earlier_lag = metric(&process, "logkey_audit_sink_lag_seconds{sink=\"copy\"}").await.unwrap();
    until(&process, "logkey_audit_sink_lag_seconds{sink=\"copy\"}", |lag| lag > earlier_lag).await;
    std::fs::create_dir(&sink_folder).unwrap();
    until(&process, "logkey_audit_sink_waiting{sink=\"copy\"}", |waiting| waiting == 0.0).await;
    until(&process, "logkey_audit_sink_lag_seconds{sink=\"copy\"}", |lag| lag == 0.0).await;
    process.signal("-TERM");
    let (code, output) = process.end();
    assert_eq!(code, Some(0), "{output}");
    for words in ["an audit sink fails", "the audit sink works again and continues where it stopped"] {
        assert_eq!(output.matches(words).count(), 1, "{words}: {output}");
    }
}

#[tokio::test]
async fn a_service_does_not_continue_a_changed_log_and_names_the_place() {
    for (sql, words) in [
        ("UPDATE event SET body = '{}' WHERE seq = 3", "event 3 of the audit log is missing or was changed"),
        ("DELETE FROM event WHERE seq = 5", "event 5 of the audit log is missing or was changed"),
        ("DELETE FROM tile", "tree does not match its checkpoint of 5 events"),
        ("UPDATE checkpoint SET note = note || 'x'", "newest checkpoint cannot be trusted"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        grow(folder.path(), 5).await;
        let url = format!("sqlite://{}/logkey.db", folder.path().display());
        let mut file = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut file).await.unwrap();
        let [grpc, admin] = free_addresses().unwrap();
        let config = super::settings(folder.path(), grpc, admin);
        // Ends a service that continues in spite of the change.
        let serve = ["60", env!("CARGO_BIN_EXE_logkey"), "serve", "--config", &config];
        let result = Command::new("timeout").args(serve).stdin(Stdio::null()).output().unwrap();
        assert_eq!(result.status.code(), Some(1), "{sql}");
        let output = text(&result.stderr);
        assert!(
            output.contains("the audit log cannot be continued") && output.contains(words),
            "{sql}: {output}"
        );
        let events: i64 =
            sqlx::query_scalar("SELECT count(*) FROM event").fetch_one(&mut file).await.unwrap();
        assert!(events <= 5, "nothing is added to the log");
        file.close().await.unwrap();
    }
}
