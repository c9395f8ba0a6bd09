//! Fetches documents from an issuer over HTTP, with bounds on size and redirects. It never calls a forbidden
//! address, not even after a redirect.

use std::{
    error::Error as StdError,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Client, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use thiserror::Error;
use tokio::sync::OnceCell;
use url::{Host, Url};

use super::{
    config::{is_loopback, is_secure},
    keys::KeySetError,
};

/// The longest response, in bytes.
pub(super) const MAX_BODY: usize = 1024 * 1024;
/// The largest number of redirects.
const MAX_REDIRECTS: usize = 5;
/// The IPv6 address of EC2's instance metadata service. Its IPv4 address is link-local.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254);

/// Why an issuer's keys could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The first attempt has not ended yet.
    #[error("the keys have not been fetched yet")]
    NotYet,
    /// The HTTP client could not be built, or the request failed.
    #[error("the request to the issuer failed")]
    Http(#[from] reqwest::Error),
    /// The status of the response is not 200.
    #[error("the issuer responded with {0}")]
    Status(StatusCode),
    /// The response or the key file is longer than 1 MiB.
    #[error("the response or key file is longer than {MAX_BODY} bytes")]
    TooLong,
    /// The fetch took longer than `refresh.timeout`.
    #[error("the fetch took longer than {0:?}")]
    TooSlow(Duration),
    /// The service does not call this address.
    #[error("{0} is not allowed: use https, or http to a loopback address, and no link-local address")]
    Address(Url),
    /// The response is not a discovery document.
    #[error("the response is not a discovery document")]
    NotDiscovery(#[source] Option<serde_json::Error>),
    /// The discovery document names another issuer.
    #[error("the discovery document belongs to another issuer")]
    OtherIssuer,
    /// The key file cannot be read.
    #[error("the key file cannot be read")]
    File(#[from] io::Error),
    /// The response or the key file is not a usable key set.
    #[error("the key set cannot be used")]
    Keys(#[from] KeySetError),
}

/// The HTTP client for issuers.
#[derive(Debug, Default)]
pub(super) struct Http(OnceCell<Client>);

/// Resolves names as the system does, and drops link-local and other forbidden addresses.
pub(super) struct LinkLocalFilter;

// === impl Http ===

impl Http {
    /// The body of a response with status 200.
    pub(super) async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        if !is_allowed_url(url) {
            return Err(FetchError::Address(url.clone()));
        }
        // Built on the first call, so that the start does not wait for the root certificates.
        let client = self.0.get_or_try_init(async || client()).await?;
        let mut response = client.get(url.clone()).send().await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        if response.content_length().is_some_and(|len| len > MAX_BODY as u64) {
            return Err(FetchError::TooLong);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// A client without cookies, credentials, caches, decompression, or proxies from the environment.
fn client() -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(concat!("logkey/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .referer(false)
        .redirect(Policy::custom(|attempt| match redirect_error(attempt.previous(), attempt.url()) {
            Some(reason) => attempt.error(reason),
            None => attempt.follow(),
        }))
        .dns_resolver(Arc::new(LinkLocalFilter))
        .pool_max_idle_per_host(0)
        .build()
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
