//! The progress of a job as the journal and state of the embedded AWS show it, the same for both sides.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::{Outcome, process::Sandbox};

/// The results of the `AssociateKmsKey` calls.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) set: usize,
    pub(crate) throttled: usize,
    pub(crate) refused: usize,
    /// The number of log groups that have a key now.
    pub(crate) with_key: usize,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Entry>,
    last: u64,
}

#[derive(Deserialize)]
struct Entry {
    time: String,
    operation: String,
    outcome: Value,
}

// === impl Sandbox ===

impl Sandbox {
    pub(crate) async fn progress(&self) -> Outcome<Progress> {
        let (mut progress, mut since) =
            (Progress { with_key: self.with_key().await?, ..Progress::default() }, 0);
        loop {
            let path = format!("{}/_sandbox/journal?since={since}", self.endpoint);
            let page: Page = serde_json::from_slice(&reqwest::get(path).await?.bytes().await?)?;
            if page.entries.is_empty() {
                return Ok(progress);
            }
            since = page.last;
            for entry in page.entries.iter().filter(|entry| entry.operation == "AssociateKmsKey") {
                progress.add(entry)?;
            }
        }
    }

    async fn with_key(&self) -> Outcome<usize> {
        let answer = reqwest::get(format!("{}/_sandbox/state", self.endpoint)).await?.bytes().await?;
        let state: Value = serde_json::from_slice(&answer)?;
        let regions = state.pointer("/accounts").and_then(Value::as_object).ok_or("no accounts")?;
        let groups = regions.values().filter_map(Value::as_object).flat_map(serde_json::Map::values);
        let groups = groups.filter_map(|region| region.pointer("/log_groups")?.as_object());
        Ok(groups
            .flat_map(serde_json::Map::values)
            .filter(|group| group.pointer("/kms_key") != Some(&Value::Null))
            .count())
    }
}

// === impl Progress ===

impl Progress {
    fn add(&mut self, entry: &Entry) -> Outcome<()> {
        let time: Timestamp = entry.time.parse()?;
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
        let code = entry.outcome.pointer("/refused/code").and_then(Value::as_str);
        match code {
            Some("ThrottlingException") => self.throttled += 1,
            Some(_) => self.refused += 1,
            None => self.set += 1,
        }
        Ok(())
    }

    /// The time from the first call to the last.
    pub(crate) fn lasted(&self) -> Outcome<Duration> {
        let (first, last) = self.first.zip(self.last).ok_or("AWS was not called")?;
        Ok(Duration::try_from(last.duration_since(first))?)
    }
}
