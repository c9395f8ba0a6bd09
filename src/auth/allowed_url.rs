//! Which addresses the service may call to fetch an issuer's keys. The checks apply to the configured address,
//! to each redirect and to each address that a name resolves to.

use std::{
    error::Error as StdError,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The largest number of redirects.
const MAX_REDIRECTS: usize = 5;
/// The IPv6 address of EC2's instance metadata service. Its IPv4 address is link-local.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254);

/// Resolves names as the system does, and drops link-local and other forbidden addresses.
pub(super) struct LinkLocalFilter;

/// Whether nobody can change a response from this address in transit.
pub(super) fn is_secure(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Whether the host is this machine, by its address or as `localhost`.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).to_canonical().is_loopback(),
        None => false,
    }
}

/// Why a redirect after the previous ones must not be followed; none if it may be followed.
pub(super) fn redirect_error(previous: &[Url], to: &Url) -> Option<&'static str> {
    let from = previous.first()?;
    if previous.len() > MAX_REDIRECTS {
        Some("too many redirects")
    } else if to.scheme() != from.scheme() {
        Some("redirected to another scheme")
    } else if !is_allowed_url(to) || (is_loopback(to) && !is_loopback(from)) {
        Some("redirected to an address that is not allowed")
    } else {
        None
    }
}

/// Whether the service may call this address. A host name is checked again when it is resolved.
pub(super) fn is_allowed_url(url: &Url) -> bool {
    is_secure(url)
        && match url.host() {
            Some(Host::Ipv4(ip)) => !is_forbidden(ip.into()),
            Some(Host::Ipv6(ip)) => !is_forbidden(ip.into()),
            Some(Host::Domain(_)) | None => true,
        }
}

/// Whether the address is link-local, such as a cloud's metadata service, or not an address of one host.
fn is_forbidden(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast() || ip == METADATA_V6
        }
    }
}

// === impl LinkLocalFilter ===

impl Resolve for LinkLocalFilter {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|at| !is_forbidden(at.ip())).collect();
            if allowed.is_empty() {
                return Err(Box::<dyn StdError + Send + Sync>::from(
                    "the name resolves to no address that is allowed",
                ));
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
