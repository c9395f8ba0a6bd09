//! The URL of the Redis or Valkey server that replicas share: a single server, Sentinels, or a Cluster.

use std::{fmt, str::FromStr};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use thiserror::Error;

/// The default port of a Sentinel.
const SENTINEL_PORT: u16 = 26_379;

/// The URL of the server, with its credentials and its certificate authority. `Debug` hides the passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    text: String,
    password: Option<String>,
    sentinel_password: Option<String>,
    ca: Option<Vec<u8>>,
}

/// The text is not the URL of a Redis or Valkey server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "is not the URL of a Redis or Valkey server: use for example \"redis://HOST:6379\", \
     \"redis+sentinel://HOST:26379,HOST:26379/NAME\" or \"redis+cluster://HOST:6379,HOST:6379\"; \
     for TLS, use \"rediss\" instead of \"redis\""
)]
pub struct InvalidRedisUrl;

/// A parsed [`RedisUrl`].
#[derive(Clone)]
pub(super) struct Address {
    pub(super) kind: Kind,
    /// The servers or Sentinels, with the credentials of the servers.
    pub(super) nodes: Vec<ConnectionInfo>,
    /// The password of the Sentinels themselves.
    pub(super) sentinel_password: Option<String>,
    pub(super) tls: bool,
    pub(super) ca: Option<Vec<u8>>,
}

/// What the addresses lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A single server.
    One,
    /// Sentinels, which know the current address of the server with this name.
    Sentinel(String),
    /// Some servers of a Cluster, which know the others.
    Cluster,
}

// === impl RedisUrl ===

impl RedisUrl {
    /// Sets the password of the server, instead of one in the URL.
    #[must_use]
    pub fn with_password(self, password: String) -> Self {
        Self { password: Some(password), ..self }
    }

    /// Sets the password of the Sentinels themselves.
    #[must_use]
    pub fn with_sentinel_password(self, password: String) -> Self {
        Self { sentinel_password: Some(password), ..self }
    }

    /// Trusts only certificates that this authority signed (PEM).
    #[must_use]
    pub fn with_ca(self, pem: Vec<u8>) -> Self {
        Self { ca: Some(pem), ..self }
    }

    /// Whether [`RedisUrl::with_ca`] set an authority.
    #[must_use]
    pub fn has_ca(&self) -> bool {
        self.ca.is_some()
    }

    /// Whether the connection uses TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.text.starts_with("rediss")
    }

    /// Whether Sentinels provide the address of the server.
    #[must_use]
    pub fn has_sentinels(&self) -> bool {
        self.address().is_ok_and(|address| matches!(address.kind, Kind::Sentinel(_)))
    }

    /// Whether the URL itself contains a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.address()
            .is_ok_and(|address| address.nodes.iter().any(|node| node.redis_settings().password().is_some()))
    }

    pub(super) fn address(&self) -> Result<Address, InvalidRedisUrl> {
        let (scheme, rest) = self.text.split_once("://").ok_or(InvalidRedisUrl)?;
        let (tls, kind) = match scheme.split_once('+').unwrap_or((scheme, "")) {
            ("redis", kind) => (false, kind),
            ("rediss", kind) => (true, kind),
            _ => return Err(InvalidRedisUrl),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (kind, database) = match kind {
            "" if !scheme.contains('+') && !hosts.contains(',') => (Kind::One, path),
            "cluster" if path.is_empty() => (Kind::Cluster, ""),
            "sentinel" => {
                let (name, database) = path.split_once('/').unwrap_or((path, ""));
                if name.is_empty() {
                    return Err(InvalidRedisUrl);
                }
                (Kind::Sentinel(name.to_owned()), database)
            }
            _ => return Err(InvalidRedisUrl),
        };
        let (userinfo, at) = if userinfo.is_empty() { ("", "") } else { (userinfo, "@") };
        let scheme = if tls { "rediss" } else { "redis" };
        let node = |host: &str| {
            let port = match kind {
                Kind::Sentinel(_) if !has_port(host) => format!(":{SENTINEL_PORT}"),
                Kind::One | Kind::Sentinel(_) | Kind::Cluster => String::new(),
            };
            let url = format!("{scheme}://{userinfo}{at}{host}{port}/{database}");
            let info = url.into_connection_info().map_err(|_error| InvalidRedisUrl)?;
            match (&self.password, info.addr()) {
                (_, ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. })
                    if host.is_empty() =>
                {
                    Err(InvalidRedisUrl)
                }
                (Some(password), _) => {
                    let settings = info.redis_settings().clone().set_password(password);
                    Ok(info.set_redis_settings(settings))
                }
                (None, _) => Ok(info),
            }
        };
        let nodes = hosts.split(',').map(node).collect::<Result<_, _>>()?;
        let sentinel_password = self.sentinel_password.clone();
        Ok(Address { kind, nodes, sentinel_password, tls, ca: self.ca.clone() })
    }
}

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Self { text: text.to_owned(), password: None, sentinel_password: None, ca: None };
        url.address().map(|_valid| url)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

/// Whether a host has a port; an IPv6 address is in brackets.
fn has_port(host: &str) -> bool {
    host.rsplit(']').next().is_some_and(|end| end.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(text: &str) -> (Kind, Vec<String>) {
        let address = text.parse::<RedisUrl>().unwrap().address().unwrap();
        (address.kind, address.nodes.iter().map(|node| node.addr().to_string()).collect())
    }

    #[test]
    fn every_kind_of_url_is_parsed() {
        assert_eq!(nodes("redis://cache"), (Kind::One, vec!["cache:6379".into()]));
        assert_eq!(nodes("rediss://u:p@cache:7000/2"), (Kind::One, vec!["cache:7000".into()]));
        let sentinels = vec!["a:26379".into(), "b:7".into(), "::1:26379".into()];
        assert_eq!(nodes("redis+sentinel://a,b:7,[::1]/main"), (Kind::Sentinel("main".into()), sentinels));
        assert_eq!(nodes("rediss+cluster://a:1,b:2"), (Kind::Cluster, vec!["a:1".into(), "b:2".into()]));
    }

    #[test]
    fn an_invalid_url_is_rejected() {
        for text in [
            "cache:6379",
            "http://cache",
            "redis://",
            "redis://a,b",
            "redis+sentinel://a:1",
            "redis+sentinel://a/",
            "redis+cluster://a/1",
            "redis+other://a",
            "redis+://a",
            "redis+cluster://a,,b",
            "redis://cache:port",
        ] {
            assert_eq!(text.parse::<RedisUrl>(), Err(InvalidRedisUrl), "{text}");
        }
    }

    #[test]
    fn a_password_is_used_and_never_printed() {
        let url = "redis://logkey@a:1".parse::<RedisUrl>().unwrap();
        assert!(!url.has_password());
        let url = url.with_password("s3cret".into());
        let settings = url.address().unwrap().nodes.remove(0).redis_settings().clone();
        assert_eq!((settings.username(), settings.password()), (Some("logkey"), Some("s3cret")));
        assert!(!format!("{url:?}").contains("s3cret"));
    }
}
