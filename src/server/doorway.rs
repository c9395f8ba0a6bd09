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
pub struct Connections {
    /// In all.
    pub most: usize,
    /// From one address.
    pub most_per_address: usize,
    /// Before they said anything. Each holds a file descriptor: of these many systems give 1,024.
    pub most_silent: usize,
    /// How long one may say nothing, take for a TLS handshake, and then take to say what it speaks.
    pub opening: Duration,
}

/// Counts who stands where.
#[derive(Clone, Debug)]
pub(super) struct Doorway {
    limits: Connections,
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
pub(super) struct Silent {
    doorway: Doorway,
    number: u64,
    /// Resolves when it has to make room.
    pub(super) out: oneshot::Receiver<()>,
}

/// A connection that spoke, as long as it stands.
#[derive(Debug)]
pub(super) struct Inside {
    doorway: Doorway,
    address: IpAddr,
}

// === impl Connections ===

impl Default for Connections {
    fn default() -> Self {
        Self { most: 10_000, most_per_address: 1_000, most_silent: 500, opening: Duration::from_secs(10) }
    }
}

// === impl Doorway ===

impl Doorway {
    pub(super) fn opening(&self) -> Duration {
        self.limits.opening
    }

    pub(super) fn new(limits: Connections, proxies: TrustedProxies) -> Self {
        Self { limits, proxies, state: Arc::default() }
    }

    /// A connection was accepted.
    pub(super) fn knock(&self) -> Silent {
        let (stay, out) = oneshot::channel();
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        state.silent.insert(number, stay);
        if state.silent.len() > self.limits.most_silent {
            state.silent.pop_first();
            refused("silent");
        }
        Silent { doorway: self.clone(), number, out }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(cause: &'static str) {
    counter!("logkey_connections_refused_total", "cause" => cause).increment(1);
}

// === impl Silent ===

impl Silent {
    /// It spoke. None where too many stand already.
    pub(super) fn enter(self, address: IpAddr) -> Option<Inside> {
        let limits = self.doorway.limits;
        let is_proxy = self.doorway.proxies.contain(address);
        let mut state = self.doorway.state();
        let cause = if state.inside >= limits.most {
            "too_many"
        } else if !is_proxy && state.by_address.get(&address).copied().unwrap_or(0) >= limits.most_per_address
        {
            "too_many_of_one_address"
        } else {
            state.inside += 1;
            *state.by_address.entry(address).or_default() += 1;
            gauge!("logkey_connections").increment(1.0);
            drop(state);
            return Some(Inside { doorway: self.doorway.clone(), address });
        };
        drop(state);
        refused(cause);
        None
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.doorway.state().silent.remove(&self.number);
    }
}

// === impl Inside ===

impl Drop for Inside {
    fn drop(&mut self) {
        gauge!("logkey_connections").decrement(1.0);
        let mut state = self.doorway.state();
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
        let door =
            Doorway::new(Connections { most_silent: 2, ..Connections::default() }, TrustedProxies::default());
        let mut silent: Vec<_> = (0..4).map(|_| door.knock()).collect();
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
        let door = Doorway::new(
            Connections { most: 3, most_per_address: 2, ..Connections::default() },
            TrustedProxies::default(),
        );
        let mut held: Vec<_> = (0..2).map(|_| door.knock().enter(A).unwrap()).collect();
        assert!(door.knock().enter(A).is_none());
        held.push(door.knock().enter(B).unwrap());
        assert!(door.knock().enter(B).is_none());
        drop(held);
        assert!(door.state().by_address.is_empty());
        assert!(door.knock().enter(A).is_some());
    }

    #[test]
    fn a_trusted_proxy_stands_for_many_callers() {
        let limits = Connections { most: 5, most_per_address: 2, ..Connections::default() };
        let door = Doorway::new(limits, ["192.0.2.1/32".parse().unwrap()].into_iter().collect());
        let held: Vec<_> = (0..5).map(|_| door.knock().enter(A)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(door.knock().enter(A).is_none(), "it has no more places than there are");
    }
}
