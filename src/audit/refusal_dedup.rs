//! Prevents a flood of equal refusals from filling the log. In each window, the first refusals of a kind are
//! recorded in full, and the rest become one event with a count.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use tokio::time::Instant;

use super::config::Config;
use crate::domain::{audit::Event, reason::Reason, tenant::TenantId};

/// The refusals of the current window. The journal's queue owns it, under its lock.
#[derive(Debug, Default)]
pub(super) struct RefusalDedup {
    ends: Option<Instant>,
    /// How many refusals were recorded in full.
    whole: u32,
    tallies: HashMap<DedupKey, Tally>,
}

/// Refusals with equal keys are of the same kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct DedupKey {
    cause: Option<Reason>,
    /// None if the window already distinguishes as many kinds as it may.
    source: Option<Source>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Source {
    tenant: Option<TenantId>,
    address: Option<IpAddr>,
}

/// The refusals of one kind in the window.
#[derive(Debug, Default)]
struct Tally {
    /// How many were recorded in full.
    whole: u32,
    /// The first refusal that was not recorded in full, with the count of all such refusals.
    counted: Option<Event>,
}

// === impl RefusalDedup ===

impl RefusalDedup {
    /// Returns the refusal if it must be recorded in full. Otherwise counts it and returns none.
    pub(super) fn admit(&mut self, event: Event, config: &Config, now: Instant) -> Option<Event> {
        self.ends.get_or_insert(now + config.window);
        let mut key = DedupKey::of(&event);
        if self.tallies.len() >= config.kinds && !self.tallies.contains_key(&key) {
            key.source = None;
        }
        let tally = self.tallies.entry(key).or_default();
        // The first refusal of each kind is always recorded in full, because the number of kinds is bounded.
        if tally.whole == 0 || tally.whole < config.whole && self.whole < config.whole_in_all {
            tally.whole += 1;
            self.whole += 1;
            return Some(event);
        }
        match &mut tally.counted {
            Some(counted) => counted.count = counted.count.saturating_add(event.count),
            None => tally.counted = Some(event),
        }
        None
    }

    /// When the window ends; none if no window has begun.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        self.ends
    }

    /// Ends the window. Returns one event for each kind with counted refusals.
    pub(super) fn take_summaries(&mut self) -> impl Iterator<Item = Event> + use<> {
        let Self { ends: _, whole: _, tallies } = std::mem::take(self);
        tallies.into_values().filter_map(|tally| tally.counted)
    }
}

// === impl DedupKey ===

impl DedupKey {
    fn of(event: &Event) -> Self {
        let address = event.actor.source.map(|address| match address {
            IpAddr::V4(_) => address,
            // A client that has one address of a /64 usually has all of them.
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        });
        let source = Some(Source { tenant: event.actor.tenant.clone(), address });
        Self { cause: event.end.as_ref().and_then(|end| end.failure), source }
    }
}

#[cfg(test)]
mod tests;
