//! Limits the number of connections: in total, per address, before their first byte, and before their first
//! valid token. At a limit the oldest connection without a valid token makes room, of the address that has
//! most of them. So connections that only stay open cannot keep other clients out.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics::{counter, gauge};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    anonymous_queue::AnonymousQueue,
    source::{TrustedProxies, ip_network},
};

/// The maximum numbers of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In total.
    pub max: usize,
    /// From one address, or from one IPv6 /64.
    pub max_per_address: usize,
    /// Before their first byte. Each one holds a file descriptor.
    pub max_silent: usize,
    /// Of those that never sent a valid token. They cost memory, and anybody can open them.
    pub max_anonymous: usize,
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
    /// The connections before their first byte.
    silent: AnonymousQueue,
    /// The admitted connections that never sent a valid token.
    anonymous: AnonymousQueue,
    next: u64,
}

/// A connection that is not yet ready for HTTP.
#[derive(Debug)]
pub(super) struct PendingConnection {
    connection_limits: ConnectionLimiter,
    address: IpAddr,
    is_proxy: bool,
    number: u64,
    /// Cancelled when a newer connection displaces this one.
    pub(super) displaced: CancellationToken,
}

/// The permit of an admitted connection; dropping it frees its slot.
#[derive(Debug)]
pub(in crate::server) struct ConnectionPermit {
    connection_limits: ConnectionLimiter,
    address: IpAddr,
    number: u64,
    authenticated: AtomicBool,
    displaced: CancellationToken,
}

// === impl ConnectionLimits ===

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max: 10_000,
            max_per_address: 1_000,
            max_silent: 500,
            max_anonymous: 1_000,
            opening: Duration::from_secs(10),
        }
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

    /// Registers an accepted connection, and displaces a silent one if there are too many.
    pub(super) fn register(&self, address: IpAddr) -> PendingConnection {
        let is_proxy = self.proxies.contain(address);
        let (address, displaced) = (ip_network(address), CancellationToken::new());
        let mut state = self.state.lock();
        state.next += 1;
        let number = state.next;
        state.silent.insert(number, address, displaced.clone());
        if state.silent.len() > self.limits.max_silent && state.silent.displace() {
            reject("silent");
        }
        PendingConnection { connection_limits: self.clone(), address, is_proxy, number, displaced }
    }
}

fn reject(cause: &'static str) {
    counter!("logkey_connections_refused_total", "cause" => cause).increment(1);
}

// === impl PendingConnection ===

impl PendingConnection {
    /// Admits the connection after its first byte and TLS handshake. `None` if a limit is reached and no
    /// connection without a valid token can make room.
    pub(super) fn admit(self) -> Option<Arc<ConnectionPermit>> {
        let limits = self.connection_limits.limits;
        let mut state = self.connection_limits.state.lock();
        let of_address = state.by_address.get(&self.address).copied().unwrap_or(0);
        let (cause, makes_room) = if !self.is_proxy && of_address >= limits.max_per_address {
            ("too_many_of_one_address", state.anonymous.displace_of(&self.address))
        } else if state.admitted >= limits.max {
            ("too_many", state.anonymous.displace())
        } else if state.anonymous.len() >= limits.max_anonymous {
            ("too_many_without_token", state.anonymous.displace())
        } else {
            ("", true)
        };
        if !cause.is_empty() {
            reject(cause);
        }
        if !makes_room {
            return None;
        }
        // A displaced connection is counted until it has closed, so the numbers can be exceeded for a moment.
        state.admitted += 1;
        *state.by_address.entry(self.address).or_default() += 1;
        state.anonymous.insert(self.number, self.address, self.displaced.clone());
        drop(state);
        gauge!("logkey_connections").increment(1.0);
        Some(Arc::new(ConnectionPermit {
            connection_limits: self.connection_limits.clone(),
            address: self.address,
            number: self.number,
            authenticated: AtomicBool::new(false),
            displaced: self.displaced.clone(),
        }))
    }
}

impl Drop for PendingConnection {
    fn drop(&mut self) {
        self.connection_limits.state.lock().silent.remove(self.number);
    }
}

// === impl ConnectionPermit ===

impl ConnectionPermit {
    /// Distinguishes the connection from all others of the process.
    pub(in crate::server) fn number(&self) -> u64 {
        self.number
    }

    /// Cancelled when the connection has to close.
    pub(super) fn displaced(&self) -> &CancellationToken {
        &self.displaced
    }

    /// Closes the connection.
    pub(super) fn close(&self) {
        self.displaced.cancel();
    }

    /// Whether a call on the connection had a valid token.
    pub(super) fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Relaxed)
    }

    /// Notes that a call on the connection had a valid token. From then on it does not make room for others.
    pub(in crate::server) fn set_authenticated(&self) {
        if !self.authenticated.swap(true, Ordering::Relaxed) {
            self.connection_limits.state.lock().anonymous.remove(self.number);
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        gauge!("logkey_connections").decrement(1.0);
        let mut state = self.connection_limits.state.lock();
        state.admitted = state.admitted.saturating_sub(1);
        state.anonymous.remove(self.number);
        if let Some(count) = state.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                state.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests;
