//! The connection to the collector: the clients of tonic and reqwest, with the proxies and the authorities that all
//! connections to other services use.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderMap, Request, Response, Uri, uri::InvalidUri};
use hyper_util::client::{
    legacy::connect::{HttpConnector, proxy::Tunnel},
    proxy::matcher::Matcher,
};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol as OtlpProtocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
    WithTonicConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    trace::{SpanData, SpanExporter as _},
};
use parking_lot::Mutex;
use reqwest::{Certificate, redirect::Policy};
use thiserror::Error;
use tokio::time::timeout;
use tonic::{
    Status,
    metadata::MetadataMap,
    transport::{Certificate as TonicCertificate, Channel, ClientTlsConfig, Endpoint},
};

use super::config::{Config, Headers, Protocol};
use crate::domain::connection::{FailedStep, failed_step, is_direct};

/// Why the connection to the collector cannot be prepared.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The endpoint is not the URI of a server.
    #[error("the endpoint is not a URI")]
    Endpoint(#[from] InvalidUri),
    /// The gRPC client refuses the authorities.
    #[error("TLS cannot be set up")]
    Tls(#[from] tonic::transport::Error),
    /// The HTTP client refuses the authorities.
    #[error("the HTTP client cannot be built")]
    Http(#[from] reqwest::Error),
    /// The exporter refuses a variable of `OpenTelemetry`.
    #[error("the exporter cannot be built")]
    Exporter(#[from] ExporterBuildError),
}

/// Why a batch was not accepted.
#[derive(Debug, Error)]
pub(super) enum SendError {
    /// The exporter failed, after its retries.
    #[error("{error}{}", .step.map(|step| format!(": {step}")).unwrap_or_default())]
    Failed {
        error: OTelSdkError,
        /// The step at which the connection failed.
        step: Option<FailedStep>,
    },
    /// No answer came in time.
    #[error("the collector did not respond in time")]
    Timeout,
}

/// Sends batches with one set of settings.
pub(super) struct Client {
    exporter: SpanExporter,
    endpoint: Uri,
    timeout: Duration,
    http_failure: HttpFailure,
}

/// The step at which the last request by HTTP failed, which the exporter does not say.
type HttpFailure = Arc<Mutex<Option<FailedStep>>>;

/// Adds the secret headers, which count before those of variables.
#[derive(Clone)]
struct WithHeaders {
    client: reqwest::Client,
    headers: Headers,
    failure: HttpFailure,
}

// === impl Client ===

impl Client {
    /// Prepares the client, without a connection. Needs a runtime.
    pub(super) fn new(config: Config, resource: &Resource) -> Result<Self, ClientError> {
        let (endpoint, timeout): (Uri, _) = (config.endpoint.as_str().parse()?, config.timeout);
        let http_failure = HttpFailure::default();
        let mut exporter = match config.protocol {
            Protocol::Grpc => {
                let headers = config.headers.clone();
                SpanExporter::builder()
                    .with_tonic()
                    .with_channel(channel(&config, endpoint.clone())?)
                    .with_interceptor(move |request| Ok::<_, Status>(with_metadata(request, &headers)))
                    .with_timeout(config.timeout)
                    .build()?
            }
            Protocol::Http => SpanExporter::builder()
                .with_http()
                .with_protocol(OtlpProtocol::HttpBinary)
                .with_endpoint(config.endpoint.as_str())
                .with_http_client(WithHeaders {
                    client: http_client(&config)?,
                    headers: config.headers,
                    failure: Arc::clone(&http_failure),
                })
                .with_timeout(config.timeout)
                .build()?,
        };
        exporter.set_resource(resource);
        Ok(Self { exporter, endpoint, timeout, http_failure })
    }

    /// Sends a batch. Within the timeout, the exporter repeats a request while that can help.
    pub(super) async fn send(&self, batch: Vec<SpanData>) -> Result<(), SendError> {
        *self.http_failure.lock() = None;
        match timeout(self.timeout, self.exporter.export(batch)).await {
            Ok(sent) => sent.map_err(|error| SendError::Failed { error, step: *self.http_failure.lock() }),
            Err(_elapsed) => Err(SendError::Timeout),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// A gRPC channel, which connects with the first request. A proxy for plain HTTP does not forward HTTP/2.
fn channel(config: &Config, endpoint: Uri) -> Result<Channel, ClientError> {
    let is_encrypted = config.endpoint.scheme() == "https";
    let is_direct = config.endpoint.host_str().is_some_and(is_direct);
    let proxy = (is_encrypted && !is_direct).then(|| Matcher::from_env().intercept(&endpoint)).flatten();
    let mut endpoint = Endpoint::from(endpoint);
    if is_encrypted {
        let tls = ClientTlsConfig::new();
        endpoint = endpoint.tls_config(match &config.authorities {
            Some(pem) => tls.ca_certificate(TonicCertificate::from_pem(pem)),
            None => tls.with_native_roots(),
        })?;
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    Ok(match proxy {
        None => endpoint.connect_with_connector_lazy(tcp),
        Some(proxy) => {
            let tunnel = Tunnel::new(proxy.uri().clone(), tcp);
            endpoint.connect_with_connector_lazy(match proxy.basic_auth() {
                Some(user) => tunnel.with_auth(user.clone()),
                None => tunnel,
            })
        }
    })
}

fn with_metadata(mut request: tonic::Request<()>, headers: &Headers) -> tonic::Request<()> {
    let mut all = std::mem::take(request.metadata_mut()).into_headers();
    add(&mut all, headers);
    *request.metadata_mut() = MetadataMap::from_headers(all);
    request
}

/// Adds the headers of the settings to those of variables, and hides the values of all from log lines of libraries.
fn add(all: &mut HeaderMap, headers: &Headers) {
    all.extend(headers.to_map());
    for value in all.values_mut() {
        value.set_sensitive(true);
    }
}

fn http_client(config: &Config) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("logkey/", env!("CARGO_PKG_VERSION")))
        // The headers are secret.
        .redirect(Policy::none())
        .referer(false);
    if config.endpoint.host_str().is_some_and(is_direct) {
        builder = builder.no_proxy();
    }
    if let Some(pem) = &config.authorities {
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(pem)?);
    }
    builder.build()
}

// === impl WithHeaders ===

#[async_trait]
impl HttpClient for WithHeaders {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        add(request.headers_mut(), &self.headers);
        let response = self.client.send_bytes(request).await;
        response.inspect_err(|error| *self.failure.lock() = failed_step(&**error))
    }
}

impl fmt::Debug for WithHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithHeaders").finish_non_exhaustive()
    }
}
