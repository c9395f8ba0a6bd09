//! Reads the next lines for a sink: the stored events, and each checkpoint after the last event that it
//! covers.

use serde_json::json;

use super::source::EventSource;
use crate::{
    domain::time::Timestamp,
    ports::{
        EventFilter, SignedCheckpoint, SinkPosition, SinkRecord, StoredEvent, Unavailable,
        event_archive::TILE_EVENTS,
    },
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
    let (events, has_more) = events_after(source, position.event).await?;
    let checkpoints = source.store.checkpoints(position.checkpoint, CHECKPOINTS).await?;
    let is_full = has_more || checkpoints.len() >= CHECKPOINTS as usize && !events.is_empty();
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

/// The next events, and whether there may be more of them. Events that left the store before the sink was new come from
/// the archive.
async fn events_after(source: &EventSource, position: u64) -> Result<(Vec<StoredEvent>, bool), Unavailable> {
    let events = source.log.after(position, EVENTS).await?;
    let is_full = events.len() >= EVENTS as usize;
    let Some(first) = events.first().map(|event| event.seq).filter(|first| *first > position + 1) else {
        return Ok((events, is_full));
    };
    let archived = match &source.archive {
        Some(archive) => archive.tile(position / TILE_EVENTS).await?,
        None => None,
    };
    if let Some(mut archived) = archived {
        archived.retain(|event| event.seq > position);
        return Ok((archived, true));
    }
    tracing::error!(
        audit.archived = format!("{} to {}", position + 1, first - 1),
        "a new sink does not get archived events, because audit.archive does not have them"
    );
    Ok((events, is_full))
}

/// The position of the newest event; 0 if the log is empty.
pub(super) async fn newest(source: &EventSource) -> Result<u64, Unavailable> {
    let newest = source.log.list(&EventFilter::default(), None, 1).await?;
    Ok(newest.first().map_or(0, |event| event.seq))
}

fn event_line(event: StoredEvent) -> SinkRecord {
    SinkRecord { time: event.id.time().unwrap_or(Timestamp::from_secs(0)), text: event.body }
}

/// A checkpoint as a JSON line that cannot be confused with an event.
fn checkpoint_line(checkpoint: &SignedCheckpoint) -> SinkRecord {
    let SignedCheckpoint { size, time, note, handover: _ } = checkpoint;
    let text = json!({ "checkpoint": { "size": size, "time": time.as_millis(), "note": note } });
    SinkRecord { time: *time, text: text.to_string() }
}

// === impl Page ===

impl Page {
    fn push(&mut self, line: SinkRecord, position: SinkPosition) {
        self.lines.push(line);
        self.positions.push(position);
    }
}
