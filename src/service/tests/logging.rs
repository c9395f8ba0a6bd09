//! Log lines name the call that they belong to.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use tracing::Instrument as _;

use super::*;

/// A writer that collects the log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_line_from_the_task_of_a_change_names_the_request() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().json().with_span_list(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let env = env();
    env.audit.fail();
    let span = tracing::error_span!("call", request_id = "the-request");
    env.associate(ALL, request("/app/web")).instrument(span).await.unwrap_err();
    let log = String::from_utf8(lines.0.lock().clone()).unwrap();
    assert!(log.contains("nothing was sent to AWS"), "{log}");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["span"]["request_id"], "the-request", "{line}");
    }
}
