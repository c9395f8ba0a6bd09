//! What a sink is to be given next: events as they are kept, and each checkpoint behind the last event
//! that it covers.

use serde_json::json;

use super::EventSource;
use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{EventFilter, SignedCheckpoint, SinkPosition, SinkRecord, StoredEvent, Unavailable},
};

/// Most events of one page.
const EVENTS: u32 = 512;
/// Most checkpoints of one page.
const CHECKPOINTS: u32 = 128;

/// Lines in their order, and where a sink is that has taken each of them.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) lines: Vec<SinkRecord>,
    pub(super) reaches: Vec<SinkPosition>,
    /// Whether there may be more.
    pub(super) is_full: bool,
}

/// Reads what comes after a position.
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
            page.append_json(checkpoint_line(&checkpoint), at);
        }
        at.event = event.seq;
        page.append_json(event_line(event), at);
    }
    while let Some(checkpoint) = checkpoints.next_if(|checkpoint| checkpoint.size <= at.event) {
        at.checkpoint = checkpoint.size;
        page.append_json(checkpoint_line(&checkpoint), at);
    }
    Ok(page)
}

/// The newest event's place, where there is one.
pub(super) async fn newest(source: &EventSource) -> Result<u64, Unavailable> {
    let newest = source.log.list(&EventFilter::default(), None, 1).await?;
    Ok(newest.first().map_or(0, |event| event.seq))
}

fn event_line(event: StoredEvent) -> SinkRecord {
    SinkRecord { time: time(event.id), text: event.body }
}

/// A checkpoint as a line of its own kind, which no event looks like.
fn checkpoint_line(checkpoint: &SignedCheckpoint) -> SinkRecord {
    let SignedCheckpoint { size, time, note, handover: _ } = checkpoint;
    let text = json!({ "checkpoint": { "size": size, "time": time.as_millis(), "note": note } });
    SinkRecord { time: *time, text: text.to_string() }
}

/// When it happened, as the id of an event says to the millisecond.
fn time(id: EventId) -> Timestamp {
    let (secs, nanos) = id.0.get_timestamp().map_or((0, 0), |at| at.to_unix());
    let micros = i64::try_from(secs).unwrap_or_default().saturating_mul(1_000_000);
    Timestamp::from_micros(micros.saturating_add(i64::from(nanos / 1_000)))
}

// === impl Page ===

impl Page {
    fn append_json(&mut self, line: SinkRecord, reaches: SinkPosition) {
        self.lines.push(line);
        self.reaches.push(reaches);
    }
}
