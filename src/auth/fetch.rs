//! Fetches documents from an issuer over HTTP or from a file, with bounds on size and redirects. It never calls
//! a forbidden address, not even after a redirect.

use std::{io, path::Path, sync::Arc, time::Duration};

use reqwest::{Certificate, Client, StatusCode, redirect::Policy};
use thiserror::Error;
use tokio::{fs::File, io::AsyncReadExt, sync::OnceCell};
use url::Url;

use super::{
    allowed_url::{LinkLocalFilter, is_allowed_url, redirect_error},
    keys::KeySetError,
};
use crate::domain::connection::{failed_step, is_direct};

/// The longest response, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// Why an issuer's keys could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The first attempt has not ended yet.
    #[error("the keys have not been fetched yet")]
    NotYet,
    /// The HTTP client could not be built, or the request failed.
    #[error("{}", http_failure(.0))]
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

/// The HTTP clients for issuers.
#[derive(Debug, Default)]
pub(super) struct Http {
    /// Uses the proxies of the environment.
    proxied: OnceCell<Client>,
    /// For this machine.
    direct: OnceCell<Client>,
    /// The only certificate authorities, in PEM; `None` trusts those of the system.
    authorities: Option<Arc<[u8]>>,
}

/// Says at which step the request failed, because `/readyz` shows only this text and not its causes.
fn http_failure(error: &reqwest::Error) -> String {
    match failed_step(error) {
        Some(step) => format!("the request to the issuer failed, because {step}"),
        None => "the request to the issuer failed".to_owned(),
    }
}

// === impl Http ===

impl Http {
    pub(super) fn new(authorities: Option<Arc<[u8]>>) -> Self {
        Self { authorities, ..Self::default() }
    }

    /// The body of a response with status 200.
    pub(super) async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        if !is_allowed_url(url) {
            return Err(FetchError::Address(url.clone()));
        }
        // Built on the first call, so that the start does not wait for the root certificates.
        let is_direct = url.host_str().is_some_and(is_direct);
        let cell = if is_direct { &self.direct } else { &self.proxied };
        let client = cell.get_or_try_init(async || client(is_direct, self.authorities.as_deref())).await?;
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

/// A client without cookies, credentials, caches or decompression.
fn client(is_direct: bool, authorities: Option<&[u8]>) -> Result<Client, reqwest::Error> {
    let mut builder = Client::builder();
    if is_direct {
        builder = builder.no_proxy();
    }
    if let Some(pem) = authorities {
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(pem)?);
    }
    builder
        .user_agent(concat!("logkey/", env!("CARGO_PKG_VERSION")))
        .referer(false)
        .redirect(Policy::custom(|attempt| match redirect_error(attempt.previous(), attempt.url()) {
            Some(reason) => attempt.error(reason),
            None => attempt.follow(),
        }))
        .dns_resolver(Arc::new(LinkLocalFilter))
        .pool_max_idle_per_host(0)
        .build()
}

/// The content of the file, which may be as long as an issuer's response.
pub(super) async fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    File::open(path).await?.take(MAX_BODY as u64 + 1).read_to_end(&mut body).await?;
    if body.len() > MAX_BODY { Err(FetchError::TooLong) } else { Ok(body) }
}
