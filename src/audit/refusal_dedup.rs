//! Keeps a flood of equal refusals from filling the log: the first of a kind are recorded whole, the
//! rest of a window becomes one event with a count.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use tokio::time::Instant;

use super::Config;
use crate::domain::{audit::Event, reason::Reason, tenant::TenantId};

/// The refusals of the current window. Owned by the journal's queue, under its lock.
#[derive(Debug, Default)]
pub(super) struct RefusalDedup {
    ends: Option<Instant>,
    whole: u32,
    tallies: HashMap<DedupKey, Window>,
}

/// What makes refusals equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct DedupKey {
    cause: Option<Reason>,
    /// None where too many sources are told apart already.
    source: Option<Source>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Source {
    tenant: Option<TenantId>,
    address: Option<IpAddr>,
}

#[derive(Debug, Default)]
struct Window {
    whole: u32,
    /// The first that was not recorded whole, with the count of all of these.
    counted: Option<Event>,
}

// === impl Flood ===

impl RefusalDedup {
    /// Gives the refusal back if it is to be recorded whole; otherwise it was counted.
    pub(super) fn admit(&mut self, event: Event, config: &Config, now: Instant) -> Option<Event> {
        self.ends.get_or_insert(now + config.window);
        let mut alike = DedupKey::of(&event);
        if self.tallies.len() >= config.kinds && !self.tallies.contains_key(&alike) {
            alike.source = None;
        }
        let tally = self.tallies.entry(alike).or_default();
        // The first of each kind in any case: kinds have a bound of their own.
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

    /// When the window ends, if one has begun.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        self.ends
    }

    /// Ends the window: what was counted in it, one event a kind.
    pub(super) fn take_summaries(&mut self) -> impl Iterator<Item = Event> + use<> {
        let Self { ends: _, whole: _, tallies } = std::mem::take(self);
        tallies.into_values().filter_map(|tally| tally.counted)
    }
}

// === impl Alike ===

impl DedupKey {
    fn of(event: &Event) -> Self {
        let address = event.actor.source.map(|address| match address {
            IpAddr::V4(_) => address,
            // Whoever has one address of a /64 has all of them.
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
