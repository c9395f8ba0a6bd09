//! Reads on from the store into the archive. The archiver removes the oldest events from the store once the archive
//! has them. So each read looks for the first stored event after it has read the store: what comes before that event is
//! taken from the archive only, and no event is left out.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    error::ReadError,
    query::{AuditQueries, SCAN_WINDOW},
};
use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{
        EventFilter, StoredEvent,
        event_archive::{MAX_DISORDER, TILE_EVENTS},
    },
    service::{context::Context, error::Error},
};

/// How many tiles before the expected one are searched for an event with a given id.
const MAX_TILES_BEFORE: u64 = 8;
/// How many tiles are searched from the expected one on. An event can be recorded some time after it happened.
const MAX_TILES_AFTER: u64 = 64;

/// The part of the log that one step of a search forward has read.
#[derive(Debug)]
pub(super) struct Searched {
    /// The events that match, oldest first.
    pub(super) events: Vec<StoredEvent>,
    /// The position up to which all events that match were found.
    pub(super) position: u64,
}

/// A search for events, newest first.
#[derive(Debug)]
pub(super) struct BackwardSearch {
    /// Which events.
    pub(super) filter: EventFilter,
    /// All events that match from this position on were found.
    pub(super) before: u64,
    /// The position of the first event in the store. 0 until the search has reached it.
    pub(super) first_stored: u64,
}

// === impl BackwardSearch ===

impl BackwardSearch {
    /// Whether the search goes on in the archive.
    pub(super) fn is_in_archive(&self) -> bool {
        (2..=self.first_stored).contains(&self.before)
    }
}

impl AuditQueries {
    /// Finds at most `max` further events, in a part of the log that takes little time to read.
    pub(super) async fn search_back(
        &self,
        cx: &Context,
        search: &mut BackwardSearch,
        max: u32,
    ) -> Result<Vec<StoredEvent>, Error> {
        if search.is_in_archive() {
            return self.search_archive(cx, search, max).await;
        }
        let after = search.before.saturating_sub(SCAN_WINDOW.saturating_add(1));
        let window = EventFilter { after: Some(after), ..search.filter.clone() };
        let read = async {
            let events = self.ports.log.list(&window, Some(search.before), max).await?;
            Ok((events, self.ports.log.after(0, 1).await?.pop()))
        };
        let (mut events, oldest) = cx.in_long_turn(read).await?;
        let is_full = events.len() as u64 >= u64::from(max);
        let position = events.last().filter(|_| is_full).map_or(after + 1, |last| last.seq);
        let Some(oldest) = oldest.filter(|oldest| oldest.seq > position) else {
            search.before = position;
            return Ok(events);
        };
        events.retain(|event| event.seq >= oldest.seq);
        search.first_stored = oldest.seq;
        let is_older = |since| oldest.id.time().is_some_and(|oldest| is_past(oldest, since));
        let is_last = search.filter.since.is_some_and(is_older);
        search.before = if is_last { 1 } else { search.before.min(oldest.seq) };
        Ok(events)
    }

    /// Searches on for events after the position at which the range begins, up to its end, oldest first, in a part of the
    /// log that takes little time to read.
    pub(super) async fn search_on(
        &self,
        cx: &Context,
        filter: &EventFilter,
        range: RangeInclusive<u64>,
        max: u32,
    ) -> Result<Searched, Error> {
        let (after, through) = range.into_inner();
        let window = EventFilter { after: Some(after), ..filter.clone() };
        let read = async {
            let events = self.ports.log.next(&window, through, max).await?;
            Ok((events, self.ports.log.after(0, 1).await?.pop()))
        };
        let (events, oldest) = cx.in_long_turn(read).await?;
        let Some(oldest) = oldest.filter(|oldest| oldest.seq > after + 1) else {
            let is_full = events.len() as u64 >= u64::from(max);
            let position = events.last().filter(|_| is_full).map_or(through, |last| last.seq);
            return Ok(Searched { events, position });
        };
        let index = after / TILE_EVENTS;
        let mut events = self.tile(cx, index, oldest.seq).await?;
        events.retain(|event| (after + 1..=through).contains(&event.seq) && filter.matches(&event.body));
        Ok(Searched { events, position: through.min((index + 1) * TILE_EVENTS) })
    }

    /// Fails if the events after a position left the store and cannot be read in the archive.
    pub(super) async fn check_readable(&self, cx: &Context, after: u64) -> Result<(), Error> {
        match self.oldest(cx).await?.filter(|oldest| oldest.seq > after + 1) {
            Some(oldest) => self.tile(cx, after / TILE_EVENTS, oldest.seq).await.map(drop),
            None => Ok(()),
        }
    }

    /// The archived event with this id. The id says when the event happened, so only events around that time are read.
    pub(super) async fn find_archived(
        &self,
        cx: &Context,
        id: EventId,
    ) -> Result<Option<StoredEvent>, Error> {
        let Some(oldest) = self.oldest(cx).await? else { return Ok(None) };
        let first_stored = oldest.seq;
        let count = first_stored.saturating_sub(1).div_ceil(TILE_EVENTS);
        let (Some(at), Some(oldest)) = (id.time(), oldest.id.time()) else { return Ok(None) };
        if count == 0 || is_past(oldest, at) {
            return Ok(None);
        }
        let expected = self.tiles_until(cx, count, at.plus(Duration::from_millis(1)), first_stored).await?;
        let expected = expected.saturating_sub(1);
        let end = count.min(expected.saturating_add(MAX_TILES_AFTER));
        let mut near: Vec<u64> = (expected.saturating_sub(MAX_TILES_BEFORE)..end).collect();
        near.sort_by_key(|index| index.abs_diff(expected));
        for index in near {
            let events = self.tile(cx, index, first_stored).await?;
            if let Some(event) = events.into_iter().find(|event| event.id == id) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Finds at most `max` further events in the tile before the position that the search has reached.
    async fn search_archive(
        &self,
        cx: &Context,
        search: &mut BackwardSearch,
        max: u32,
    ) -> Result<Vec<StoredEvent>, Error> {
        let BackwardSearch { filter, before, first_stored } = search;
        let index = before.saturating_sub(2) / TILE_EVENTS;
        let mut events = self.tile(cx, index, *first_stored).await?;
        let begins = events.first().and_then(|event| event.id.time());
        if let (Some(begins), Some(until)) = (begins, filter.until)
            && is_past(until, begins)
        {
            // Every event of this tile is later, and so are those of further tiles.
            let earlier = self.tiles_until(cx, index, until.plus(MAX_DISORDER), *first_stored).await?;
            *before = earlier * TILE_EVENTS + 1;
            return Ok(Vec::new());
        }
        events.retain(|event| event.seq < *before && filter.matches(&event.body));
        events.reverse();
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let is_full = events.len() > max;
        events.truncate(max);
        let is_last = filter.since.zip(begins).is_some_and(|(since, begins)| is_past(begins, since));
        *before = match events.last() {
            Some(last) if is_full => last.seq,
            Some(_) | None if is_last => 1,
            Some(_) | None => index * TILE_EVENTS + 1,
        };
        Ok(events)
    }

    /// How many of the first `count` tiles begin before this time.
    async fn tiles_until(
        &self,
        cx: &Context,
        count: u64,
        end: Timestamp,
        first_stored: u64,
    ) -> Result<u64, Error> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            let events = self.tile(cx, middle, first_stored).await?;
            if events.first().and_then(|event| event.id.time()).is_some_and(|begins| begins >= end) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    async fn tile(&self, cx: &Context, index: u64, first_stored: u64) -> Result<Vec<StoredEvent>, Error> {
        let missing = ReadError::EventsArchived { first: first_stored };
        let archive = self.ports.archive.as_ref().ok_or(missing)?;
        Ok(cx.in_archive_turn(archive.tile(index)).await?.ok_or(missing)?)
    }

    async fn oldest(&self, cx: &Context) -> Result<Option<StoredEvent>, Error> {
        Ok(cx.in_turn(self.ports.log.after(0, 1)).await?.pop())
    }
}

/// Whether `later` is so much later than `at` that no event that was recorded before one of `at` has that time.
fn is_past(at: Timestamp, later: Timestamp) -> bool {
    at.plus(MAX_DISORDER) < later
}
