//! Reads the next lines for a sink: the stored events, and each checkpoint after the last event that it
//! covers.

use serde_json::json;

use super::source::EventSource;
use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{EventFilter, SignedCheckpoint, SinkPosition, SinkRecord, StoredEvent, Unavailable},
};

/// The largest number of events in one page.
const EVENTS: u32 = 512;
/// The largest number of checkpoints in one page.
const CHECKPOINTS: u32 = 128;

/// Lines in order, each with the position of a sink that has received it.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) lines: Vec<SinkRecord>,
    pub(super) positions: Vec<SinkPosition>,
    /// Whether there may be more lines.
    pub(super) is_full: bool,
}

/// Reads the lines after a position.
pub(super) async fn after(source: &EventSource, position: SinkPosition) -> Result<Page, Unavailable> {
    let events = source.log.after(position.event, EVENTS).await?;
    let checkpoints = source.store.checkpoints(position.checkpoint, CHECKPOINTS).await?;
    let is_full =
        events.len() >= EVENTS as usize || checkpoints.len() >= CHECKPOINTS as usize && !events.is_empty();
    let (mut page, mut at) = (Page { is_full, ..Page::default() }, position);
    let mut checkpoints = checkpoints.into_iter().peekable();
    for event in events {
        while let Some(checkpoint) = checkpoints.next_if(|checkpoint| checkpoint.size < event.seq) {
            at.checkpoint = checkpoint.size;
            page.push(checkpoint_line(&checkpoint), at);
        }
        at.event = event.seq;
        page.push(event_line(event), at);
    }
    while let Some(checkpoint) = checkpoints.next_if(|checkpoint| checkpoint.size <= at.event) {
        at.checkpoint = checkpoint.size;
        page.push(checkpoint_line(&checkpoint), at);
    }
    Ok(page)
}

/// The position of the newest event; 0 if the log is empty.
pub(super) async fn newest(source: &EventSource) -> Result<u64, Unavailable> {
    let newest = source.log.list(&EventFilter::default(), None, 1).await?;
    Ok(newest.first().map_or(0, |event| event.seq))
}

fn event_line(event: StoredEvent) -> SinkRecord {
    SinkRecord { time: time(event.id), text: event.body }
}

/// A checkpoint as a JSON line that cannot be confused with an event.
fn checkpoint_line(checkpoint: &SignedCheckpoint) -> SinkRecord {
    let SignedCheckpoint { size, time, note, handover: _ } = checkpoint;
    let text = json!({ "checkpoint": { "size": size, "time": time.as_millis(), "note": note } });
    SinkRecord { time: *time, text: text.to_string() }
}

/// The time in the event's id, which is a UUID of version 7 and precise to the millisecond.
fn time(id: EventId) -> Timestamp {
    let (secs, nanos) = id.0.get_timestamp().map_or((0, 0), |at| at.to_unix());
    let micros = i64::try_from(secs).unwrap_or_default().saturating_mul(1_000_000);
    Timestamp::from_micros(micros.saturating_add(i64::from(nanos / 1_000)))
}

// === impl Page ===

impl Page {
    fn push(&mut self, line: SinkRecord, position: SinkPosition) {
        self.lines.push(line);
        self.positions.push(position);
    }
}
