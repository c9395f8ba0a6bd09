//! One issuer at run time: its settings and its keys.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use url::Url;

use super::{
    config::{IssuerConfig, KeySource, Refresh},
    discovery,
    fetch::{FetchError, Http, read_file},
    header::Header,
    jwks::{FetchKeys, Jwks},
    keys::KeySet,
    token_error::TokenError,
    verifying_key::VerifyingKey,
};

/// The longest interval between two reads of a key file.
const FILE_POLL_INTERVAL: Duration = Duration::from_secs(5);
/// The longest cool-down between two reads of a key file.
const FILE_COOL_DOWN: Duration = Duration::from_secs(1);

/// An issuer at run time.
#[derive(Debug)]
pub(super) struct Issuer {
    /// What the issuer's tokens must satisfy.
    pub(super) config: IssuerConfig,
    /// The issuer's `iss`, shared by all of its principals.
    pub(super) name: Arc<str>,
    /// The issuer's keys. A reload that does not change their source or refresh keeps them.
    pub(super) keys: Arc<Jwks>,
}

/// The issuer's keys are unavailable, so nobody can know whether the token is valid.
#[derive(Debug)]
pub(super) struct KeysUnavailable {
    /// The time until the next attempt to fetch them.
    pub(super) retry_after: Duration,
    /// Why the last attempt failed.
    pub(super) reason: Arc<FetchError>,
}

#[derive(Debug)]
enum Source {
    Uri { http: Http, url: Url },
    Discovery { http: Http, issuer: Box<str>, url: Url },
    File(PathBuf),
    Nowhere,
}

// === impl Issuer ===

impl Issuer {
    /// Starts to fetch the keys, or keeps those of `previous` if their source and refresh are the same.
    pub(super) fn new(config: IssuerConfig, previous: Option<&Self>) -> Self {
        let same = previous.filter(|old| {
            (&old.config.issuer, &old.config.keys, old.config.refresh, &old.config.authorities)
                == (&config.issuer, &config.keys, config.refresh, &config.authorities)
        });
        let keys = same.map_or_else(
            || Arc::new(Jwks::start(&config.issuer, refresh_interval(&config), Source::of(&config))),
            |old| Arc::clone(&old.keys),
        );
        Self { name: Arc::from(&*config.issuer), keys, config }
    }

    /// The key of the set that must verify a token with this header.
    pub(super) fn find<'k>(&self, keys: &'k KeySet, header: &Header) -> Result<&'k VerifyingKey, TokenError> {
        keys.find(header.kid.as_deref(), header.algorithm, self.config.require_kid)
    }

    /// The issuer's keys. Fetches them again if the current ones do not contain the key of this header.
    pub(super) async fn keys_for(&self, header: &Header) -> Result<Arc<KeySet>, KeysUnavailable> {
        let has_key = |keys: &Arc<KeySet>| self.find(keys, header).is_ok();
        let current = self.keys.current();
        if let Ok(keys) = &current
            && has_key(keys)
        {
            return Ok(Arc::clone(keys));
        }
        let newest = if self.keys.refresh().await { self.keys.current() } else { current };
        match (newest, self.keys.failure()) {
            (Ok(keys), None) => Ok(keys),
            (Ok(keys), Some(_)) if has_key(&keys) => Ok(keys),
            // The issuer may have published a key that could not be fetched, so the token may be valid.
            (Ok(_), Some(reason)) | (Err(reason), _) => {
                Err(KeysUnavailable { retry_after: self.keys.next_attempt(), reason })
            }
        }
    }
}

// Reading a local file is cheap, so the service reads it more often than it calls an issuer.
fn refresh_interval(config: &IssuerConfig) -> Refresh {
    let refresh = config.refresh;
    match &config.keys {
        KeySource::JwksUri(_) | KeySource::Discovery => refresh,
        KeySource::JwksFile(_) => Refresh {
            every: refresh.every.min(FILE_POLL_INTERVAL),
            cool_down: refresh.cool_down.min(FILE_COOL_DOWN),
            ..refresh
        },
    }
}

// === impl Source ===

impl Source {
    fn of(config: &IssuerConfig) -> Self {
        match &config.keys {
            KeySource::JwksUri(url) => {
                Self::Uri { http: Http::new(config.authorities.clone()), url: url.clone() }
            }
            KeySource::JwksFile(path) => Self::File(path.clone()),
            KeySource::Discovery => match config.discovery_url() {
                Some(url) => Self::Discovery {
                    http: Http::new(config.authorities.clone()),
                    issuer: config.issuer.clone(),
                    url,
                },
                None => Self::Nowhere,
            },
        }
    }
}

#[async_trait]
impl FetchKeys for Source {
    async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::Uri { http, url } => http.get(url).await,
            Self::Discovery { http, issuer, url } => discovery::keys(http, issuer, url).await,
            Self::File(path) => read_file(path).await,
            Self::Nowhere => Err(FetchError::NotYet),
        }
    }
}
