//! The order of waiting calls: interactive calls before bulk calls, and round robin over the tenants in each.
//!
//! So a tenant with a thousand waiting calls delays the first call of another tenant by only one permit.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::{domain::tenant::TenantId, limit::config::QueueBounds, ports::limit::Priority};

/// The interactive calls after which a waiting bulk call goes, so bulk calls get at least a fifth of the
/// permits.
const INTERACTIVE_PER_BULK: usize = 4;

/// The calls that wait for a permit, each with data of the caller.
#[derive(Debug)]
pub(super) struct FairQueue<W> {
    interactive: PriorityQueue<W>,
    bulk: PriorityQueue<W>,
    /// The interactive calls that went since the last bulk call, while bulk calls waited.
    passed_over: usize,
    next_ticket: u64,
}

/// Identifies a call in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// The result of adding a call.
#[derive(Debug)]
pub(super) enum EnqueueResult<W> {
    /// The call is in the queue.
    Queued(Ticket),
    /// The call is in the queue, and displaced the last call of the tenant with the most waiting calls.
    Displaced(Ticket, W),
    /// The call was rejected: the tenant is at its limit, or itself has the most waiting calls.
    Full(W),
}

/// A call in the queue, with the number of calls before it.
#[derive(Debug)]
pub(super) struct Position<'a, W> {
    pub(super) ticket: Ticket,
    pub(super) ahead: usize,
    pub(super) call: &'a W,
}

/// The tenants with waiting calls of one priority, the next tenant first.
#[derive(Debug)]
struct PriorityQueue<W> {
    tenants: VecDeque<TenantQueue<W>>,
    len: usize,
}

/// The waiting calls of one tenant, in their order.
#[derive(Debug)]
struct TenantQueue<W> {
    tenant: TenantId,
    calls: VecDeque<(Ticket, W)>,
}

// === impl FairQueue ===

impl<W> FairQueue<W> {
    pub(super) fn new() -> Self {
        let empty = || PriorityQueue { tenants: VecDeque::new(), len: 0 };
        Self { interactive: empty(), bulk: empty(), passed_over: 0, next_ticket: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.interactive.len + self.bulk.len
    }

    /// The number of calls that would go before a call that enters now.
    pub(super) fn position(&self, tenant: &TenantId, priority: Priority) -> usize {
        match priority {
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

    /// Adds a call after its tenant's other calls.
    pub(super) fn push(
        &mut self,
        tenant: &TenantId,
        priority: Priority,
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
        self.queue_of(priority).push(tenant, ticket, call);
        match evicted {
            None => EnqueueResult::Queued(ticket),
            Some(evicted) => EnqueueResult::Displaced(ticket, evicted),
        }
    }

    /// Adds the retry of a throttled call before all others of its priority. Such calls have used a permit,
    /// so their number is limited by the calls in flight and needs no other limit.
    pub(super) fn push_front(&mut self, tenant: &TenantId, priority: Priority, call: W) -> Ticket {
        let ticket = self.ticket();
        let queue = self.queue_of(priority);
        queue.len += 1;
        let at = queue.tenants.iter().position(|own| own.tenant == *tenant);
        let mut own = at
            .and_then(|at| queue.tenants.remove(at))
            .unwrap_or_else(|| TenantQueue { tenant: tenant.clone(), calls: VecDeque::new() });
        own.calls.push_front((ticket, call));
        queue.tenants.push_front(own);
        ticket
    }

    /// Removes and returns the next call.
    pub(super) fn pop(&mut self) -> Option<W> {
        let bulk_waits = self.bulk.len > 0;
        if bulk_waits && (self.interactive.len == 0 || self.passed_over >= INTERACTIVE_PER_BULK) {
            self.passed_over = 0;
            return self.bulk.pop();
        }
        self.passed_over = if bulk_waits { self.passed_over + 1 } else { 0 };
        self.interactive.pop()
    }

    /// Removes a call that no longer waits.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<W> {
        let call = self.interactive.remove(ticket).or_else(|| self.bulk.remove(ticket));
        if self.bulk.len == 0 {
            self.passed_over = 0;
        }
        call
    }

    /// Every call, in the order in which they go.
    pub(super) fn round_robin(&self) -> Vec<Position<'_, W>> {
        let (mut interactive, mut bulk) =
            (self.interactive.order().into_iter(), self.bulk.order().into_iter());
        let (mut next_interactive, mut next_bulk) = (interactive.next(), bulk.next());
        let mut passed_over = self.passed_over;
        let mut calls = Vec::with_capacity(self.len());
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
            let Some((ticket, call)) = next else { return calls };
            calls.push(Position { ticket, ahead: calls.len(), call });
        }
    }

    fn queue_of(&mut self, priority: Priority) -> &mut PriorityQueue<W> {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Bulk => &mut self.bulk,
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }
}

// === impl PriorityQueue ===

impl<W> PriorityQueue<W> {
    fn of(&self, tenant: &TenantId) -> usize {
        self.tenants.iter().find(|own| own.tenant == *tenant).map_or(0, |own| own.calls.len())
    }

    fn push(&mut self, tenant: &TenantId, ticket: Ticket, call: W) {
        self.len += 1;
        if let Some(own) = self.tenants.iter_mut().find(|own| own.tenant == *tenant) {
            own.calls.push_back((ticket, call));
        } else {
            self.tenants.push_back(TenantQueue { tenant: tenant.clone(), calls: [(ticket, call)].into() });
        }
    }

    fn ahead(&self, tenant: &TenantId) -> usize {
        let mine = self.of(tenant);
        let mut found = false;
        let others = self.tenants.iter().map(|own| {
            if own.tenant == *tenant {
                found = true;
                return mine;
            }
            own.calls.len().min(if found { mine } else { mine + 1 })
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

    /// Removes the last call of the tenant with the most calls, if it has more than `threshold` calls.
    fn evict(&mut self, threshold: usize) -> Option<W> {
        let max = self.tenants.iter_mut().max_by_key(|own| own.calls.len())?;
        if max.calls.len() <= threshold {
            return None;
        }
        let (_, call) = max.calls.pop_back()?;
        self.len -= 1;
        Some(call)
    }

    fn remove(&mut self, ticket: Ticket) -> Option<W> {
        for at in 0..self.tenants.len() {
            let own = self.tenants.get_mut(at)?;
            let Some(index) = own.calls.iter().position(|(other, _)| *other == ticket) else { continue };
            let (_, call) = own.calls.remove(index)?;
            self.len -= 1;
            if own.calls.is_empty() {
                self.tenants.remove(at);
            }
            return Some(call);
        }
        None
    }

    /// Every call, in the order in which they go.
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
