//! Reads events for `list` and `show` from the store, and those that left it from the archive.

use std::sync::Arc;

use super::{
    failure::{self, Failure},
    log_location::{LogLocation, OpenLog},
};
use crate::{
    audit::{archive::ArchiveReader, parsed_event::ParsedEvent},
    config::ArchiveTarget,
    domain::time::Timestamp,
    ports::{EventFilter, EventReader, StoredEvent, event_archive::MAX_DISORDER},
    store,
};

/// How many events one query reads.
const PAGE: u32 = 500;

/// The store, and the archive of the events that left it.
pub(super) struct WholeLog {
    /// Reads the store.
    pub(super) reader: Arc<dyn EventReader>,
    log: OpenLog,
    named_archive: Option<ArchiveTarget>,
}

// === impl WholeLog ===

impl WholeLog {
    /// Opens the store. The archive is the one in the argument, or else that of the settings.
    pub(super) async fn open(
        location: &LogLocation,
        archive: Option<ArchiveTarget>,
    ) -> Result<Self, Failure> {
        let log = location.log()?;
        let reader = store::open_reader(&log.store).await?.log;
        Ok(Self { reader, log, named_archive: archive })
    }

    /// The archive, if events left the store and the archive is known.
    pub(super) async fn archive(&self) -> Result<Option<ArchiveReader>, Failure> {
        self.log.archive_reader(self.named_archive.as_ref(), &*self.reader).await
    }

    /// The newest `limit` events that match, the newest first. Says on standard error if archived events are left out.
    pub(super) async fn newest(&self, filter: &EventFilter, limit: u32) -> Result<Vec<StoredEvent>, Failure> {
        let mut found: Vec<StoredEvent> = Vec::new();
        let mut remaining = limit;
        while remaining > 0 {
            let before = found.last().map(|event| event.seq);
            let page = self.reader.list(filter, before, remaining.min(PAGE)).await?;
            let Some(count) = u32::try_from(page.len()).ok().filter(|count| *count > 0) else { break };
            remaining = remaining.saturating_sub(count);
            found.extend(page);
        }
        // The events before the first one in the store may have left it meanwhile, so the archive has them.
        let Some(first) = self.first_stored().await? else { return Ok(found) };
        found.retain(|event| event.seq >= first.seq);
        let remaining = u32::try_from(found.len()).map_or(0, |count| limit.saturating_sub(count));
        if remaining == 0 || is_recent(filter.since, &first) {
            return Ok(found);
        }
        match self.archive().await?.filter(|archive| archive.size() + 1 >= first.seq) {
            Some(archive) => found.extend(archive.list(filter, first.seq, remaining).await?),
            None => failure::print(&format!(
                "logkey: events 1 to {} were archived and are not listed: name their archive with --archive",
                first.seq - 1
            )),
        }
        Ok(found)
    }

    /// The first event in the store, if earlier ones left it.
    pub(super) async fn first_stored(&self) -> Result<Option<StoredEvent>, Failure> {
        Ok(self.reader.after(0, 1).await?.pop().filter(|first| first.seq > 1))
    }
}

/// Whether all events since this time are after the given one, which is the first in the store.
pub(super) fn is_recent(since: Option<Timestamp>, first: &StoredEvent) -> bool {
    let first = ParsedEvent::try_from(first).ok();
    since.zip(first).is_some_and(|(since, first)| first.time.plus(MAX_DISORDER) < since)
}
