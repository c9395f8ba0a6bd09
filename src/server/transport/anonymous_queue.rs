//! The connections that have not proved who they are, by age and address. If there are too many, the oldest
//! one of the address with most of them has to close.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use tokio_util::sync::CancellationToken;

/// Connections by address, each with a number that grows with time.
#[derive(Debug, Default)]
pub(super) struct AnonymousQueue {
    by_address: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
    addresses: HashMap<u64, IpAddr>,
}

// === impl AnonymousQueue ===

impl AnonymousQueue {
    pub(super) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Adds a connection. `close` is cancelled to make it close.
    pub(super) fn insert(&mut self, number: u64, address: IpAddr, close: CancellationToken) {
        self.by_address.entry(address).or_default().insert(number, close);
        self.addresses.insert(number, address);
    }

    /// Removes a connection that closed, or proved who it is.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(address) = self.addresses.remove(&number) else { return };
        if let Some(connections) = self.by_address.get_mut(&address) {
            connections.remove(&number);
            if connections.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }

    /// Closes the oldest connection of the address that has most. Returns whether there was one.
    pub(super) fn displace(&mut self) -> bool {
        let busiest = self
            .by_address
            .iter()
            .max_by_key(|(_, connections)| (connections.len(), Reverse(connections.keys().next().copied())));
        let busiest = busiest.map(|(address, _)| *address);
        busiest.is_some_and(|address| self.displace_of(&address))
    }

    /// Closes the oldest connection of this address. Returns whether there was one.
    pub(super) fn displace_of(&mut self, address: &IpAddr) -> bool {
        let oldest = self.by_address.get(address).and_then(BTreeMap::first_key_value);
        let Some((number, close)) = oldest.map(|(number, close)| (*number, close.clone())) else {
            return false;
        };
        close.cancel();
        self.remove(number);
        true
    }
}
