//! Who goes next: interactive calls before bulk ones, and within each the tenants in turn.
//!
//! Not by arrival: a tenant with a thousand calls waiting delays another's first call by one turn.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::{domain::tenant::TenantId, limit::QueueBounds, ports::limit::Priority};

/// Interactive turns after which a bulk call that waits has one: a fifth of the turns is reserved.
const INTERACTIVE_PER_BULK: usize = 4;

/// Calls that wait for a turn, each with something of the caller's.
#[derive(Debug)]
pub(super) struct FairQueue<W> {
    interactive: TenantQueue<W>,
    bulk: TenantQueue<W>,
    /// Interactive turns since the last bulk one, while bulk calls waited.
    passed_over: usize,
    next_ticket: u64,
}

/// Which call in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// What it took to find room for a call.
#[derive(Debug)]
pub(super) enum EnqueueResult<W> {
    /// Nothing.
    Waits(Ticket),
    /// The last call of whoever has the most waiting had to go.
    Instead(Ticket, W),
    /// There is none: the tenant itself has the most waiting.
    Full(W),
}

/// Tenants, the next one first.
#[derive(Debug)]
struct TenantQueue<W> {
    tenants: VecDeque<PriorityQueue<W>>,
    len: usize,
}

/// One tenant's calls, in their order.
#[derive(Debug)]
struct PriorityQueue<W> {
    tenant: TenantId,
    calls: VecDeque<(Ticket, W)>,
}

// === impl FairQueue ===

impl<W> FairQueue<W> {
    pub(super) fn new() -> Self {
        let line = || TenantQueue { tenants: VecDeque::new(), len: 0 };
        Self { interactive: line(), bulk: line(), passed_over: 0, next_ticket: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.interactive.len + self.bulk.len
    }

    /// How many turns are given before a call that would enter now.
    pub(super) fn position(&self, tenant: &TenantId, urgency: Priority) -> usize {
        match urgency {
            Priority::Interactive => {
                let own = self.interactive.ahead(tenant);
                own + self.bulk.len.min((own + self.passed_over) / INTERACTIVE_PER_BULK)
            }
            Priority::Bulk => {
                let own = self.bulk.ahead(tenant);
                let let_pass = (INTERACTIVE_PER_BULK * (own + 1)).saturating_sub(self.passed_over);
                own + self.interactive.len.min(let_pass)
            }
        }
    }

    /// Enters a call behind its tenant's others.
    pub(super) fn push(
        &mut self,
        tenant: &TenantId,
        urgency: Priority,
        bounds: QueueBounds,
        call: W,
    ) -> EnqueueResult<W> {
        let own = self.interactive.of(tenant) + self.bulk.of(tenant);
        if own >= bounds.per_tenant.get() {
            return EnqueueResult::Full(call);
        }
        let mut evicted = None;
        if self.len() >= bounds.per_quota_key.get() {
            evicted = self.bulk.evict(own + 1).or_else(|| self.interactive.evict(own + 1));
            if evicted.is_none() {
                return EnqueueResult::Full(call);
            }
        }
        let ticket = self.ticket();
        self.line(urgency).push(tenant, ticket, call);
        match evicted {
            None => EnqueueResult::Waits(ticket),
            Some(evicted) => EnqueueResult::Instead(ticket, evicted),
        }
    }

    /// Enters a call before all others of its urgency: its turn was in vain. Such calls have had their
    /// turn already, so that they are as many as are under way and need no other bound.
    pub(super) fn push_front(&mut self, tenant: &TenantId, urgency: Priority, call: W) -> Ticket {
        let ticket = self.ticket();
        let line = self.line(urgency);
        line.len += 1;
        let at = line.tenants.iter().position(|own| own.tenant == *tenant);
        let mut own = at
            .and_then(|at| line.tenants.remove(at))
            .unwrap_or_else(|| PriorityQueue { tenant: tenant.clone(), calls: VecDeque::new() });
        own.calls.push_front((ticket, call));
        line.tenants.push_front(own);
        ticket
    }

    /// The next call.
    pub(super) fn pop(&mut self) -> Option<W> {
        let bulk_waits = self.bulk.len > 0;
        if bulk_waits && (self.interactive.len == 0 || self.passed_over >= INTERACTIVE_PER_BULK) {
            self.passed_over = 0;
            return self.bulk.pop();
        }
        self.passed_over = if bulk_waits { self.passed_over + 1 } else { 0 };
        self.interactive.pop()
    }

    /// Takes a call out that waits no longer.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<W> {
        let call = self.interactive.remove(ticket).or_else(|| self.bulk.remove(ticket));
        if self.bulk.len == 0 {
            self.passed_over = 0;
        }
        call
    }

    /// Every call with the number of turns before it.
    pub(super) fn round_robin(&self) -> Vec<(Ticket, usize, &W)> {
        let (mut interactive, mut bulk) =
            (self.interactive.order().into_iter(), self.bulk.order().into_iter());
        let (mut next_interactive, mut next_bulk) = (interactive.next(), bulk.next());
        let mut passed_over = self.passed_over;
        let mut permits = Vec::with_capacity(self.len());
        loop {
            let take_bulk =
                next_bulk.is_some() && (next_interactive.is_none() || passed_over >= INTERACTIVE_PER_BULK);
            let next = if take_bulk {
                passed_over = 0;
                std::mem::replace(&mut next_bulk, bulk.next())
            } else {
                passed_over = if next_bulk.is_some() { passed_over + 1 } else { 0 };
                std::mem::replace(&mut next_interactive, interactive.next())
            };
            let Some((ticket, call)) = next else { return permits };
            permits.push((ticket, permits.len(), call));
        }
    }

    fn line(&mut self, urgency: Priority) -> &mut TenantQueue<W> {
        match urgency {
            Priority::Interactive => &mut self.interactive,
            Priority::Bulk => &mut self.bulk,
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }
}

// === impl Line ===

impl<W> TenantQueue<W> {
    fn of(&self, tenant: &TenantId) -> usize {
        self.tenants.iter().find(|own| own.tenant == *tenant).map_or(0, |own| own.calls.len())
    }

    fn push(&mut self, tenant: &TenantId, ticket: Ticket, call: W) {
        self.len += 1;
        if let Some(own) = self.tenants.iter_mut().find(|own| own.tenant == *tenant) {
            own.calls.push_back((ticket, call));
        } else {
            self.tenants.push_back(PriorityQueue { tenant: tenant.clone(), calls: [(ticket, call)].into() });
        }
    }

    fn ahead(&self, tenant: &TenantId) -> usize {
        let mine = self.of(tenant);
        let mut met = false;
        let others = self.tenants.iter().map(|own| {
            if own.tenant == *tenant {
                met = true;
                return mine;
            }
            own.calls.len().min(if met { mine } else { mine + 1 })
        });
        others.sum()
    }

    fn pop(&mut self) -> Option<W> {
        let mut own = self.tenants.pop_front()?;
        let (_, call) = own.calls.pop_front()?;
        self.len -= 1;
        if !own.calls.is_empty() {
            self.tenants.push_back(own);
        }
        Some(call)
    }

    /// Takes the last call of the tenant with the most, where that is more than `than`.
    fn evict(&mut self, than: usize) -> Option<W> {
        let max = self.tenants.iter_mut().max_by_key(|own| own.calls.len())?;
        if max.calls.len() <= than {
            return None;
        }
        let (_, call) = max.calls.pop_back()?;
        self.len -= 1;
        Some(call)
    }

    fn remove(&mut self, ticket: Ticket) -> Option<W> {
        for at in 0..self.tenants.len() {
            let own = self.tenants.get_mut(at)?;
            let Some(location) = own.calls.iter().position(|(other, _)| *other == ticket) else { continue };
            let (_, call) = own.calls.remove(location)?;
            self.len -= 1;
            if own.calls.is_empty() {
                self.tenants.remove(at);
            }
            return Some(call);
        }
        None
    }

    /// Every call in the order in which they go.
    fn order(&self) -> Vec<(Ticket, &W)> {
        let mut all: Vec<_> = self
            .tenants
            .iter()
            .enumerate()
            .flat_map(|(at, own)| own.calls.iter().enumerate().map(move |(round, call)| (round, at, call)))
            .collect();
        all.sort_unstable_by_key(|(round, at, _)| (*round, *at));
        all.into_iter().map(|(_, _, (ticket, call))| (*ticket, call)).collect()
    }
}
