//! One issuer at run time: its settings and its keys.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use url::Url;

use super::{
    FetchError, IssuerConfig, KeySource, Refresh, discovery,
    fetch::Http,
    file,
    jwks::{FetchKeys, Jwks},
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

#[derive(Debug)]
enum Source {
    Uri(Http, Url),
    Discovery(Http, Box<str>, Url),
    File(PathBuf),
    Nowhere,
}

// === impl Issuer ===

impl Issuer {
    /// Starts to fetch the keys, or keeps those of `previous` if their source and refresh are the same.
    pub(super) fn new(config: IssuerConfig, previous: Option<&Self>) -> Self {
        let same = previous.filter(|old| {
            (&old.config.issuer, &old.config.keys, old.config.refresh)
                == (&config.issuer, &config.keys, config.refresh)
        });
        let keys = same.map_or_else(
            || Arc::new(Jwks::start(&config.issuer, refresh_interval(&config), Source::of(&config))),
            |old| Arc::clone(&old.keys),
        );
        Self { name: Arc::from(&*config.issuer), keys, config }
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
            KeySource::JwksUri(url) => Self::Uri(Http::default(), url.clone()),
            KeySource::JwksFile(path) => Self::File(path.clone()),
            KeySource::Discovery => match config.discovery_url() {
                Some(url) => Self::Discovery(Http::default(), config.issuer.clone(), url),
                None => Self::Nowhere,
            },
        }
    }
}

#[async_trait]
impl FetchKeys for Source {
    async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::Uri(http, url) => http.get(url).await,
            Self::Discovery(http, issuer, url) => discovery::keys(http, issuer, url).await,
            Self::File(path) => file::keys(path).await,
            Self::Nowhere => Err(FetchError::NotYet),
        }
    }
}
