//! One issuer at work: its settings, and its keys.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use url::Url;

use super::{
    FetchError, IssuerConfig, KeySource, Refresh, discovery,
    fetch::Http,
    file,
    jwks::{FetchKeys, Jwks},
};

/// How often a file of keys is looked at, at the least.
const FILE_POLL: Duration = Duration::from_secs(5);
/// Least time between two looks at a file of keys.
const FILE_COOL_DOWN: Duration = Duration::from_secs(1);

/// An issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    /// What its tokens must be like.
    pub(super) config: IssuerConfig,
    /// Its name, shared by all of its principals.
    pub(super) name: Arc<str>,
    /// Its keys; shared with its successor where only other settings change.
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
    /// Starts to fetch its keys, or goes on with those of `before`.
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

// A file is at hand: looking at it costs nobody anything.
fn refresh_interval(config: &IssuerConfig) -> Refresh {
    let refresh = config.refresh;
    match &config.keys {
        KeySource::JwksUri(_) | KeySource::Discovery => refresh,
        KeySource::JwksFile(_) => Refresh {
            every: refresh.every.min(FILE_POLL),
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
