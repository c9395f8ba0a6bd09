//! The audit log of the binary itself: a sink that cannot be written, and a log that somebody changed.

use sqlx::Connection as _;

use super::*;
use crate::audit_commands_offline::grow;

/// The value of a metric; none where it is not output.
async fn metric(process: &Process, name: &str) -> Option<f64> {
    let text = reqwest::get(format!("http://{}/metrics", process.admin)).await.unwrap().text().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

async fn until(process: &Process, name: &str, so: impl Fn(f64) -> bool) {
    for _ in 0..LOOKS {
        if metric(process, name).await.is_some_and(&so) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} stays {:?}", metric(process, name).await);
}

#[tokio::test]
async fn a_sink_that_takes_nothing_is_told_with_how_far_it_is_behind_until_it_has_all() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("not-there-yet");
    let path = into.join("audit.jsonl");
    let sink = format!("[[audit.sinks]]\ntype = \"file\"\nname = \"copy\"\npath = \"{}\"\n", path.display());
    let process = Process::serve_in(folder, "", &sink).await;
    let missing = "logkey_audit_sink_failures_total{sink=\"copy\",cause=\"missing\"}";
    until(&process, missing, |failures| failures >= 2.0).await;
    until(&process, "logkey_audit_sink_waiting{sink=\"copy\"}", |waiting| waiting >= 1.0).await;
    until(&process, "logkey_audit_sink_lag_seconds{sink=\"copy\"}", |lag| lag > 0.3).await;
    let grown = metric(&process, "logkey_audit_sink_lag_seconds{sink=\"copy\"}").await.unwrap();
    until(&process, "logkey_audit_sink_lag_seconds{sink=\"copy\"}", |lag| lag > grown).await;
    std::fs::create_dir(&into).unwrap();
    until(&process, "logkey_audit_sink_waiting{sink=\"copy\"}", |waiting| waiting == 0.0).await;
    until(&process, "logkey_audit_sink_lag_seconds{sink=\"copy\"}", |lag| lag == 0.0).await;
    process.signal("-TERM");
    let (code, output) = process.end();
    assert_eq!(code, Some(0), "{output}");
    for words in ["an audit sink takes nothing", "the audit sink takes again, from where it stopped"] {
        assert_eq!(output.matches(words).count(), 1, "{words}: {output}");
    }
}

#[tokio::test]
async fn a_log_that_somebody_changed_is_not_gone_on_with_and_the_service_says_where() {
    for (sql, words) in [
        ("UPDATE event SET body = '{}' WHERE seq = 3", "event 3 of the audit log is missing or was changed"),
        ("DELETE FROM event WHERE seq = 5", "event 5 of the audit log is missing or was changed"),
        ("DELETE FROM tile", "tree does not match its checkpoint of 5 events"),
        ("UPDATE checkpoint SET note = note || 'x'", "newest checkpoint cannot be relied on"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        grow(folder.path(), 5).await;
        let url = format!("sqlite://{}/logkey.db", folder.path().display());
        let mut file = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut file).await.unwrap();
        let [grpc, admin] = free();
        let config = super::settings(folder.path(), grpc, admin);
        // One that goes on all the same is ended.
        let serve = ["60", env!("CARGO_BIN_EXE_logkey"), "serve", "--config", &config];
        let done = Command::new("timeout").args(serve).stdin(Stdio::null()).output().unwrap();
        assert_eq!(done.status.code(), Some(1), "{sql}");
        let output = text(&done.stderr);
        assert!(
            output.contains("the audit log cannot be continued") && output.contains(words),
            "{sql}: {output}"
        );
        let events: i64 =
            sqlx::query_scalar("SELECT count(*) FROM event").fetch_one(&mut file).await.unwrap();
        assert!(events <= 5, "nothing is added to it");
        file.close().await.unwrap();
    }
}
