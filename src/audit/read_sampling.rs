//! Decides which reads the log records. The journal asks it for each read that succeeded. Its memory is bounded
//! for each tenant and in all.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use tokio::time::Instant;

use super::config::ReadRecording;
use crate::domain::{audit::Event, tenant::TenantId};

/// How long a window lasts. The first read of a reader and RPC in a window is recorded.
const WINDOW: Duration = Duration::from_mins(1);
/// Of the reads after the first one in a window, each one with a multiple of this number is recorded.
const INTERVAL: u32 = 100;
/// The maximum number of readers and RPCs of one tenant. Further ones of the tenant share an entry for each RPC.
const MAX_OF_TENANT: usize = 1024;
/// The maximum number of tenants. Further ones share the entries without a tenant.
const MAX_TENANTS: usize = 1024;
/// The maximum number of readers and RPCs in all.
const MAX_IN_ALL: usize = 32_768;

/// The reads of the last two windows.
#[derive(Debug)]
pub(super) struct ReadSampler {
    recording: ReadRecording,
    window_start: Option<Instant>,
    /// The key of the inner map is a hash of the subject and the RPC, because subjects can be long. A reader
    /// beyond the bound is counted without its subject.
    tenants: HashMap<Option<TenantId>, HashMap<u64, Tally>>,
    hasher: RandomState,
    /// How many readers and RPCs there are in all.
    readers: usize,
}

/// The reads of one reader and RPC.
#[derive(Debug, Default)]
struct Tally {
    /// How many reads there were in this window.
    in_window: u32,
    /// How many of these and earlier reads no event represents yet.
    unrecorded: u32,
}

// === impl ReadSampler ===

impl ReadSampler {
    pub(super) fn new(recording: ReadRecording) -> Self {
        Self {
            recording,
            window_start: None,
            tenants: HashMap::new(),
            hasher: RandomState::new(),
            readers: 0,
        }
    }

    /// Returns the event if it must be recorded. Its count is then the number of reads that it represents: its
    /// own, and those of the same reader and RPC since the last recorded one.
    pub(super) fn admit(&mut self, event: Event, now: Instant) -> Option<Event> {
        let recorded = match self.recording {
            ReadRecording::All => Some(event),
            ReadRecording::None => None,
            ReadRecording::Sampled => self.sample(event, now),
        };
        if recorded.is_none() {
            metrics::counter!("logkey_audit_reads_unrecorded_total").increment(1);
        }
        recorded
    }

    fn sample(&mut self, event: Event, now: Instant) -> Option<Event> {
        let window_start = *self.window_start.get_or_insert(now);
        if now.saturating_duration_since(window_start) >= WINDOW {
            self.begin_window(now);
        }
        let tally = self.tally(&event);
        tally.in_window = tally.in_window.saturating_add(1);
        tally.unrecorded = tally.unrecorded.saturating_add(1);
        if (tally.in_window - 1).is_multiple_of(INTERVAL) {
            let count = std::mem::take(&mut tally.unrecorded);
            return Some(Event { count, ..event });
        }
        None
    }

    /// Begins a window. Readers without a read in the last window are forgotten, the others keep the number of
    /// reads that no event represents yet.
    fn begin_window(&mut self, now: Instant) {
        self.window_start = Some(now);
        for readers in self.tenants.values_mut() {
            readers.retain(|_, tally| std::mem::take(&mut tally.in_window) > 0);
        }
        self.tenants.retain(|_, readers| !readers.is_empty());
        self.readers = self.tenants.values().map(HashMap::len).sum();
    }

    fn tally(&mut self, event: &Event) -> &mut Tally {
        let mut tenant = event.actor.tenant.clone();
        if self.tenants.len() >= MAX_TENANTS && !self.tenants.contains_key(&tenant) {
            tenant = None;
        }
        let readers = self.tenants.entry(tenant).or_default();
        let mut reader = self.hasher.hash_one((&event.actor.subject, event.act));
        let is_full = readers.len() >= MAX_OF_TENANT || self.readers >= MAX_IN_ALL;
        if is_full && !readers.contains_key(&reader) {
            reader = self.hasher.hash_one((None::<&str>, event.act));
        }
        readers.entry(reader).or_insert_with(|| {
            self.readers += 1;
            Tally::default()
        })
    }
}

#[cfg(test)]
mod tests;
