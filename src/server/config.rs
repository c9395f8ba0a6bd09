//! The settings of the gRPC server.

use std::time::Duration;

use http::HeaderValue;
use url::Url;

use super::transport::{
    connection_driver::ConnectionLifetime, connection_limits::ConnectionLimits, source::TrustedProxies,
};

/// The settings of the gRPC server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The longest time of a call, unless its client sets a shorter one.
    pub request_timeout: Duration,
    /// How long new connections and calls are accepted after a shutdown begins.
    pub drain_delay: Duration,
    /// The time that calls in flight get to end after that.
    pub drain_timeout: Duration,
    /// Whether server reflection is enabled.
    pub reflection: bool,
    /// The maximum number of calls in flight, over all tenants.
    pub max_in_flight: usize,
    /// The maximum numbers of connections.
    pub connections: ConnectionLimits,
    /// The keepalive and the maximum age of each connection.
    pub lifetime: ConnectionLifetime,
    /// The origins whose pages may call, as `Origin` names them. Empty: no page of another origin may.
    pub allowed_origins: Vec<HeaderValue>,
    /// The networks whose `x-forwarded-for` is trusted.
    pub trusted_proxies: TrustedProxies,
    /// The base URL of the documentation site, to which errors link.
    pub documentation_url: Option<Url>,
}
