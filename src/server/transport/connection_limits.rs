//! Limits the number of connections: in total, per address, and before their first byte. A new connection
//! displaces the oldest silent one, so silent connections cannot keep other clients out.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use metrics::{counter, gauge};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::source::TrustedProxies;

/// The maximum numbers of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In total.
    pub max: usize,
    /// From one address.
    pub max_per_address: usize,
    /// Before their first byte. Each one holds a file descriptor, and many systems allow a process 1,024.
    pub max_silent: usize,
    /// The timeout for the first byte and the TLS handshake, and again for the HTTP/2 preface.
    pub opening: Duration,
}

/// Counts the connections, and enforces the limits.
#[derive(Clone, Debug)]
pub(in crate::server) struct ConnectionLimiter {
    limits: ConnectionLimits,
    /// The limit per address does not apply to trusted proxies, because each one serves many callers.
    proxies: TrustedProxies,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    admitted: usize,
    by_address: HashMap<IpAddr, usize>,
    /// The connections before their first byte, by age.
    silent: BTreeMap<u64, oneshot::Sender<()>>,
    next: u64,
}

/// A connection that is not yet ready for HTTP.
#[derive(Debug)]
pub(super) struct PendingConnection {
    connection_limits: ConnectionLimiter,
    number: u64,
    /// Resolves when a newer connection displaces this one.
    pub(super) displaced: oneshot::Receiver<()>,
}

/// The permit of an admitted connection; dropping it frees its slot.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    connection_limits: ConnectionLimiter,
    address: IpAddr,
}

// === impl ConnectionLimits ===

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { max: 10_000, max_per_address: 1_000, max_silent: 500, opening: Duration::from_secs(10) }
    }
}

// === impl ConnectionLimiter ===

impl ConnectionLimiter {
    pub(super) fn preface_timeout(&self) -> Duration {
        self.limits.opening
    }

    pub(in crate::server) fn new(limits: ConnectionLimits, proxies: TrustedProxies) -> Self {
        Self { limits, proxies, state: Arc::default() }
    }

    /// Registers an accepted connection, and displaces the oldest silent one if there are too many.
    pub(super) fn register(&self) -> PendingConnection {
        let (stay, displaced) = oneshot::channel();
        let mut state = self.state.lock();
        state.next += 1;
        let number = state.next;
        state.silent.insert(number, stay);
        if state.silent.len() > self.limits.max_silent {
            state.silent.pop_first();
            reject("silent");
        }
        PendingConnection { connection_limits: self.clone(), number, displaced }
    }
}

fn reject(cause: &'static str) {
    counter!("logkey_connections_refused_total", "cause" => cause).increment(1);
}

// === impl PendingConnection ===

impl PendingConnection {
    /// Admits the connection after its first byte and TLS handshake; `None` if a limit is reached.
    pub(super) fn admit(self, address: IpAddr) -> Option<ConnectionPermit> {
        let limits = self.connection_limits.limits;
        let is_proxy = self.connection_limits.proxies.contain(address);
        let mut state = self.connection_limits.state.lock();
        let cause = if state.admitted >= limits.max {
            "too_many"
        } else if !is_proxy && state.by_address.get(&address).copied().unwrap_or(0) >= limits.max_per_address
        {
            "too_many_of_one_address"
        } else {
            state.admitted += 1;
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
        self.connection_limits.state.lock().silent.remove(&self.number);
    }
}

// === impl ConnectionPermit ===

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        gauge!("logkey_connections").decrement(1.0);
        let mut state = self.connection_limits.state.lock();
        state.admitted = state.admitted.saturating_sub(1);
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
    fn the_oldest_silent_connection_is_displaced() {
        let limiter = ConnectionLimiter::new(
            ConnectionLimits { max_silent: 2, ..ConnectionLimits::default() },
            TrustedProxies::default(),
        );
        let mut silent: Vec<_> = (0..4).map(|_| limiter.register()).collect();
        let displaced: Vec<_> = silent
            .iter_mut()
            .map(|one| one.displaced.try_recv() != Err(oneshot::error::TryRecvError::Empty))
            .collect();
        assert_eq!(displaced, [true, true, false, false]);
        drop(silent);
        assert!(limiter.state.lock().silent.is_empty());
    }

    #[test]
    fn one_address_cannot_use_all_connections_and_frees_its_own() {
        let limiter = ConnectionLimiter::new(
            ConnectionLimits { max: 3, max_per_address: 2, ..ConnectionLimits::default() },
            TrustedProxies::default(),
        );
        let mut permits: Vec<_> = (0..2).map(|_| limiter.register().admit(A).unwrap()).collect();
        assert!(limiter.register().admit(A).is_none());
        permits.push(limiter.register().admit(B).unwrap());
        assert!(limiter.register().admit(B).is_none());
        drop(permits);
        assert!(limiter.state.lock().by_address.is_empty());
        assert!(limiter.register().admit(A).is_some());
    }

    #[test]
    fn a_trusted_proxy_has_no_limit_per_address() {
        let limits = ConnectionLimits { max: 5, max_per_address: 2, ..ConnectionLimits::default() };
        let limiter = ConnectionLimiter::new(limits, ["192.0.2.1/32".parse().unwrap()].into_iter().collect());
        let permits: Vec<_> = (0..5).map(|_| limiter.register().admit(A)).collect();
        assert!(permits.iter().all(Option::is_some));
        assert!(limiter.register().admit(A).is_none(), "the total limit applies to proxies too");
    }
}
