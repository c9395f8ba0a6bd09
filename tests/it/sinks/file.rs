//! The sinks that write lines: a rotating file and standard output.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use logkey::audit::sinks::{
    file::{self, RotatingFile},
    stdout::Stdout,
};

use super::*;

fn config(path: &Path) -> file::Config {
    file::Config { path: path.to_owned(), max_bytes: 1 << 20, keep: 3 }
}

fn sink(config: file::Config) -> Arc<dyn Sink> {
    Arc::new(RotatingFile::new(config).unwrap())
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn line(text: &str) -> SinkRecord {
    SinkRecord { time: Timestamp::from_secs(0), text: text.to_owned() }
}

#[tokio::test]
async fn every_event_is_a_line_in_a_file_that_only_its_owner_can_read() {
    let log = Log::new().await;
    let path = log.dir.path().join("audit.jsonl");
    let sinks = log.worker(&[("file", sink(config(&path)))]).await;
    log.grow(300).await;
    sinks.close().await;
    assert!(log.is_whole(&lines(&path), &[300]).await);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn files_rotate_by_size_and_the_oldest_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let sink = sink(file::Config { max_bytes: 30, ..config(&path) });
    for n in 0..11 {
        // Each line has nine bytes with the newline: a file holds three, so a batch can cross the limit.
        let batch: Vec<SinkRecord> = (0..2).map(|m| line(&format!("event-{:02}", n * 2 + m))).collect();
        assert_eq!(sink.write(&batch).await.unwrap(), 2);
    }
    let at = |name: &str| lines(&dir.path().join(name));
    assert_eq!(at("audit.jsonl"), ["event-21"]);
    assert_eq!(at("audit.jsonl.1"), ["event-18", "event-19", "event-20"]);
    assert_eq!(at("audit.jsonl.3"), ["event-12", "event-13", "event-14"]);
    assert!(!dir.path().join("audit.jsonl.4").exists());
}

#[tokio::test]
async fn a_partial_line_is_removed_and_foreign_text_is_kept() {
    for (before, after) in [
        ("{\"a\":1}\n{\"b\":", "{\"a\":1}\n{\"c\":3}\n"),
        ("{\"b\":", "{\"c\":3}\n"),
        ("someone's notes", "someone's notes\n{\"c\":3}\n"),
        ("", "{\"c\":3}\n"),
        ("{\"a\":1}\n", "{\"a\":1}\n{\"c\":3}\n"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        fs::write(&path, before).unwrap();
        sink(config(&path)).write(&[line("{\"c\":3}")]).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), after, "{before}");
    }
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_recreated() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("audit.jsonl"), dir.path().join("moved"));
    let sink = sink(config(&path));
    sink.write(&[line("1")]).await.unwrap();
    fs::rename(&path, &moved).unwrap();
    sink.write(&[line("2")]).await.unwrap();
    assert_eq!((lines(&moved), lines(&path)), (vec!["1".to_owned()], vec!["2".to_owned()]));
}

#[tokio::test]
async fn an_unwritable_file_is_reported_and_catches_up_later() {
    let log = Log::new().await;
    let folder = log.dir.path().join("not-there-yet");
    let path = folder.join("audit.jsonl");
    let missing = sink(config(&path)).write(&[line("x")]).await.unwrap_err();
    assert_eq!(missing.cause(), "missing");
    let no_file = sink(config(log.dir.path())).write(&[line("x")]).await.unwrap_err();
    assert_eq!(no_file.cause(), "failed");

    let sinks = log.worker(&[("file", sink(config(&path)))]).await;
    log.grow(50).await;
    fs::create_dir(&folder).unwrap();
    log.grow(50).await;
    until(async || log.is_whole(&lines(&path), &[50, 100]).await).await;
    sinks.close().await;
}

#[tokio::test]
async fn a_full_device_is_reported_and_accepts_no_line() {
    let full = Stdout::over(fs::OpenOptions::new().write(true).open("/dev/full").unwrap()).unwrap();
    let error = full.write(&[line("x")]).await.unwrap_err();
    assert_eq!(error.cause(), "failed");
    assert!(logkey::domain::error_chain::error_chain(&error).contains("No space left"), "{error:?}");
}

/// Accepts five bytes, then fails within the line, and then works again.
#[derive(Clone, Default)]
struct FailsWithinLine(Arc<Mutex<(Vec<u8>, usize)>>);

impl Write for FailsWithinLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock();
        inner.1 += 1;
        match inner.1 {
            1 => {
                inner.0.extend(bytes.iter().take(5));
                Ok(5)
            }
            2 => Err(io::ErrorKind::WouldBlock.into()),
            _ => {
                inner.0.extend(bytes);
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_stream_that_failed_within_a_line_starts_a_new_line() {
    let to = FailsWithinLine::default();
    let stdout = Stdout::over(to.clone()).unwrap();
    let batch = [line("{\"a\":1}"), line("{\"b\":2}")];
    stdout.write(&batch).await.unwrap_err();
    assert_eq!(stdout.write(&batch).await.unwrap(), 2);
    assert_eq!(to.0.lock().0, b"{\"a\":\n{\"a\":1}\n{\"b\":2}\n");
}
