//! The settings of the exporter, as plain values.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry_sdk::trace::{Sampler, ShouldSample};
use url::Url;

/// The settings of the exporter.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The collector: for gRPC its address, for HTTP the URL that receives traces.
    pub endpoint: Url,
    /// The protocol that the collector expects.
    pub protocol: Protocol,
    /// Which traces are recorded.
    pub sampling: Sampling,
    /// Headers of every request.
    pub headers: Headers,
    /// The longest time of one request.
    pub timeout: Duration,
    /// The attributes that describe this process.
    pub resource: Vec<(String, String)>,
    /// The only certificate authorities of the collector, in PEM; `None` trusts those of the system.
    pub authorities: Option<Arc<[u8]>>,
}

/// How spans are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Protocol buffers by gRPC.
    Grpc,
    /// Protocol buffers by HTTP.
    Http,
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The fraction of the traces that begin here, from 0 to 1.
    pub ratio: f64,
    /// Whether a caller's decision counts for its trace.
    pub parent_based: bool,
}

/// Headers whose values are secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(HeaderMap);

// === impl Sampling ===

impl Sampling {
    pub(super) fn sampler(self) -> Box<dyn ShouldSample> {
        let root = Sampler::TraceIdRatioBased(self.ratio);
        if self.parent_based { Box::new(Sampler::ParentBased(Box::new(root))) } else { Box::new(root) }
    }
}

// === impl Headers ===

impl Headers {
    /// Adds a header. `None` if its name or value is invalid.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Option<Self> {
        let name: HeaderName = name.trim().parse().ok()?;
        let mut value: HeaderValue = value.trim().parse().ok()?;
        value.set_sensitive(true);
        self.0.insert(name, value);
        Some(self)
    }

    /// Whether there is no header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn to_map(&self) -> HeaderMap {
        self.0.clone()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Headers").field(&self.0.len()).finish()
    }
}
