//! Asking an issuer over HTTP: bounded in size, time and redirects, and never led elsewhere.

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

/// Longest answer taken, in bytes.
pub(super) const MAX_BODY: usize = 1024 * 1024;
/// Most redirects followed.
const MAX_REDIRECTS: usize = 5;
/// Where EC2 answers instance metadata over IPv6; over IPv4 it is link-local anyway.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254);

/// Why an issuer's keys could not be had.
#[derive(Debug, Error)]
pub enum FetchError {
    /// Nobody has asked yet.
    #[error("the keys were not fetched yet")]
    NotYet,
    /// The HTTP client could not be made, or the issuer did not answer.
    #[error("the issuer did not answer")]
    Http(#[from] reqwest::Error),
    /// It answered with something other than 200.
    #[error("the issuer answered {0}")]
    Status(StatusCode),
    /// It answered with more than 1 MiB.
    #[error("the answer is longer than {MAX_BODY} bytes")]
    TooLong,
    /// It took longer than allowed.
    #[error("the answer took longer than {0:?}")]
    TooSlow(Duration),
    /// The address is not one that may be asked.
    #[error("{0} may not be asked: https is needed, or http to a loopback address, and no link-local one")]
    Address(Url),
    /// The discovery document is none.
    #[error("not a discovery document")]
    NotDiscovery(#[source] Option<serde_json::Error>),
    /// The discovery document is another issuer's.
    #[error("the discovery document is that of another issuer")]
    OtherIssuer,
    /// The file cannot be read.
    #[error("the file of keys cannot be read")]
    File(#[from] io::Error),
    /// What came is no set of keys.
    #[error("what came is no set of keys")]
    Keys(#[from] KeySetError),
}

/// Asks issuers.
#[derive(Debug, Default)]
pub(super) struct Http(OnceCell<Client>);

/// Finds addresses as the system does, and leaves out those that no issuer has.
pub(super) struct LinkLocalFilter;

// === impl Http ===

impl Http {
    /// The whole answer to a GET, if it is a good one.
    pub(super) async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        if !is_allowed_url(url) {
            return Err(FetchError::Address(url.clone()));
        }
        // Made at the first call, so that a start does not wait for the root certificates.
        let client = self.0.get_or_try_init(async || client()).await?;
        let mut answer = client.get(url.clone()).send().await?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        if answer.content_length().is_some_and(|len| len > MAX_BODY as u64) {
            return Err(FetchError::TooLong);
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
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

/// Why a redirect is not followed, behind those before it.
pub(super) fn redirect_error(previous: &[Url], to: &Url) -> Option<&'static str> {
    let from = previous.first()?;
    if previous.len() > MAX_REDIRECTS {
        Some("redirected too often")
    } else if to.scheme() != from.scheme() {
        Some("redirected to another scheme")
    } else if !is_allowed_url(to) || (is_loopback(to) && !is_loopback(from)) {
        Some("redirected to an address that no issuer has")
    } else {
        None
    }
}

/// Whether an issuer may be at this address, as far as the address tells.
pub(super) fn is_allowed_url(url: &Url) -> bool {
    is_secure(url)
        && match url.host() {
            Some(Host::Ipv4(ip)) => !is_forbidden(ip.into()),
            Some(Host::Ipv6(ip)) => !is_forbidden(ip.into()),
            Some(Host::Domain(_)) | None => true,
        }
}

/// Addresses that belong to the machine's own link, such as a cloud's metadata service, or to nobody.
fn is_forbidden(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast() || ip == METADATA_V6
        }
    }
}

// === impl NoLinkLocal ===

impl Resolve for LinkLocalFilter {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let fine: Vec<SocketAddr> = found.filter(|at| !is_forbidden(at.ip())).collect();
            if fine.is_empty() {
                return Err(Box::<dyn StdError + Send + Sync>::from(
                    "the name has no address that may be asked",
                ));
            }
            Ok(Box::new(fine.into_iter()) as Addrs)
        })
    }
}
