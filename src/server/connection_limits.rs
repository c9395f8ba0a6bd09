//! How many connections may stand: in all, from one address, and before they said anything.
//!
//! Those that say nothing make room for new ones, the oldest first, so that any number of them keeps
//! nobody out.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use metrics::{counter, gauge};
use tokio::sync::oneshot;

use super::source::TrustedProxies;

/// How many connections may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all.
    pub max: usize,
    /// From one address.
    pub max_per_address: usize,
    /// Before they said anything. Each holds a file descriptor: of these many systems give 1,024.
    pub max_silent: usize,
    /// How long one may say nothing, take for a TLS handshake, and then take to say what it speaks.
    pub opening: Duration,
}

/// Counts who stands where.
#[derive(Clone, Debug)]
pub(super) struct ConnectionLimiter {
    limits: ConnectionLimits,
    /// One of these stands for many callers.
    proxies: TrustedProxies,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    by_address: HashMap<IpAddr, usize>,
    /// By age.
    silent: BTreeMap<u64, oneshot::Sender<()>>,
    next: u64,
}

/// A connection that has said nothing yet.
#[derive(Debug)]
pub(super) struct PendingConnection {
    connection_limits: ConnectionLimiter,
    number: u64,
    /// Resolves when it has to make room.
    pub(super) out: oneshot::Receiver<()>,
}

/// A connection that spoke, as long as it stands.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    connection_limits: ConnectionLimiter,
    address: IpAddr,
}

// === impl Connections ===

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { max: 10_000, max_per_address: 1_000, max_silent: 500, opening: Duration::from_secs(10) }
    }
}

// === impl Doorway ===

impl ConnectionLimiter {
    pub(super) fn preface_timeout(&self) -> Duration {
        self.limits.opening
    }

    pub(super) fn new(limits: ConnectionLimits, proxies: TrustedProxies) -> Self {
        Self { limits, proxies, state: Arc::default() }
    }

    /// A connection was accepted.
    pub(super) fn register(&self) -> PendingConnection {
        let (stay, out) = oneshot::channel();
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        state.silent.insert(number, stay);
        if state.silent.len() > self.limits.max_silent {
            state.silent.pop_first();
            reject("silent");
        }
        PendingConnection { connection_limits: self.clone(), number, out }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reject(cause: &'static str) {
    counter!("logkey_connections_refused_total", "cause" => cause).increment(1);
}

// === impl Silent ===

impl PendingConnection {
    /// It spoke. None where too many stand already.
    pub(super) fn admit(self, address: IpAddr) -> Option<ConnectionPermit> {
        let limits = self.connection_limits.limits;
        let is_proxy = self.connection_limits.proxies.contain(address);
        let mut state = self.connection_limits.state();
        let cause = if state.inside >= limits.max {
            "too_many"
        } else if !is_proxy && state.by_address.get(&address).copied().unwrap_or(0) >= limits.max_per_address
        {
            "too_many_of_one_address"
        } else {
            state.inside += 1;
            *state.by_address.entry(address).or_default() += 1;
            gauge!("logkey_connections").increment(1.0);
            drop(state);
            return Some(ConnectionPermit { connection_limits: self.connection_limits.clone(), address });
        };
        drop(state);
        reject(cause);
        None
    }
}

impl Drop for PendingConnection {
    fn drop(&mut self) {
        self.connection_limits.state().silent.remove(&self.number);
    }
}

// === impl Inside ===

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        gauge!("logkey_connections").decrement(1.0);
        let mut state = self.connection_limits.state();
        state.inside = state.inside.saturating_sub(1);
        if let Some(count) = state.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                state.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn the_oldest_that_said_nothing_makes_room() {
        let door = ConnectionLimiter::new(
            ConnectionLimits { max_silent: 2, ..ConnectionLimits::default() },
            TrustedProxies::default(),
        );
        let mut silent: Vec<_> = (0..4).map(|_| door.register()).collect();
        let out: Vec<_> = silent
            .iter_mut()
            .map(|one| one.out.try_recv() != Err(oneshot::error::TryRecvError::Empty))
            .collect();
        assert_eq!(out, [true, true, false, false]);
        drop(silent);
        assert!(door.state().silent.is_empty());
    }

    #[test]
    fn one_address_cannot_take_all_places_and_gives_back_what_it_took() {
        let door = ConnectionLimiter::new(
            ConnectionLimits { max: 3, max_per_address: 2, ..ConnectionLimits::default() },
            TrustedProxies::default(),
        );
        let mut permits: Vec<_> = (0..2).map(|_| door.register().admit(A).unwrap()).collect();
        assert!(door.register().admit(A).is_none());
        permits.push(door.register().admit(B).unwrap());
        assert!(door.register().admit(B).is_none());
        drop(permits);
        assert!(door.state().by_address.is_empty());
        assert!(door.register().admit(A).is_some());
    }

    #[test]
    fn a_trusted_proxy_stands_for_many_callers() {
        let limits = ConnectionLimits { max: 5, max_per_address: 2, ..ConnectionLimits::default() };
        let door = ConnectionLimiter::new(limits, ["192.0.2.1/32".parse().unwrap()].into_iter().collect());
        let permits: Vec<_> = (0..5).map(|_| door.register().admit(A)).collect();
        assert!(permits.iter().all(Option::is_some));
        assert!(door.register().admit(A).is_none(), "it has no more places than there are");
    }
}
