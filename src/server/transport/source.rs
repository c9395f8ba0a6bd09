//! Determines the source address of a call: its peer address, or the address that a trusted proxy reports.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use http::HeaderMap;
use ipnet::IpNet;

/// The maximum number of `x-forwarded-for` entries that are read, from the right.
const MAX_HOPS: usize = 16;

/// The networks of the proxies whose `x-forwarded-for` is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[IpNet]>);

// === impl TrustedProxies ===

impl TrustedProxies {
    /// Whether the address belongs to a trusted proxy.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The nearest address that is not a trusted proxy. Entries are read from the right; each one is trusted
    /// only because a trusted proxy appended it. The `x-forwarded-for` of any other peer is ignored.
    pub(in crate::server) fn source(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = peer.to_canonical();
        if self.0.is_empty() || !self.contain(nearest) {
            return nearest;
        }
        let lines: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
        for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')).take(MAX_HOPS) {
            let Some(address) = address(entry.trim()) else { return nearest };
            nearest = address.to_canonical();
            if !self.contain(nearest) {
                return nearest;
            }
        }
        nearest
    }
}

impl FromIterator<IpNet> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

/// What counts as one address: a single caller can use a whole IPv6 /64.
pub(in crate::server) fn ip_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// Parses an entry, with or without a port: some proxies add it.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    bare.parse().ok().or_else(|| entry.parse().ok().map(|with_port: SocketAddr| with_port.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str, forwarded: &[&str]) -> String {
        let trusted: TrustedProxies =
            ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).into_iter().collect();
        let headers =
            forwarded.iter().map(|line| ("x-forwarded-for".parse().unwrap(), line.parse().unwrap()));
        trusted.source(peer.parse().unwrap(), &headers.collect()).to_string()
    }

    #[test]
    fn an_untrusted_peers_header_is_ignored() {
        assert_eq!(source("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn a_trusted_proxys_entry_counts_and_entries_before_it_do_not() {
        assert_eq!(source("10.1.1.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(source("10.1.1.1", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(source("10.1.1.1", &["203.0.113.9, 198.51.100.7, 10.2.2.2"]), "198.51.100.7");
        assert_eq!(source("10.1.1.1", &["203.0.113.9", "198.51.100.7,10.2.2.2"]), "198.51.100.7");
        assert_eq!(source("::ffff:10.1.1.1", &["[2001:db8::1]:443"]), "2001:db8::1");
    }

    #[test]
    fn an_unparsable_entry_ends_the_search() {
        assert_eq!(source("10.1.1.1", &["198.51.100.7, unknown"]), "10.1.1.1");
        assert_eq!(source("10.1.1.1", &["198.51.100.7, unknown, 10.2.2.2"]), "10.2.2.2");
        assert_eq!(source("10.1.1.1", &[]), "10.1.1.1");
        assert_eq!(source("10.1.1.1", &["10.2.2.2, 10.3.3.3"]), "10.2.2.2");
    }
}
