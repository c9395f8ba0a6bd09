//! The connection pool of all AWS clients. It uses the proxies and the certificate authorities that all connections to
//! other services use.

use std::sync::{Arc, OnceLock};

use aws_sdk_sts::config::SharedHttpClient;
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn},
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};

use crate::domain::connection::is_direct;

/// Sends a request through the proxies of the environment, unless its host is reached directly.
#[derive(Debug)]
struct ByHost {
    proxied: SharedHttpConnector,
    direct: SharedHttpConnector,
}

/// The connection pool. It is created with the settings of the first call, which all calls share.
pub(super) fn http_client(authorities: Option<Arc<[u8]>>) -> SharedHttpClient {
    let pool: OnceLock<SharedHttpConnector> = OnceLock::new();
    http_client_fn(move |settings, components| {
        let connect = || {
            let connector = |proxies| connector(settings, components, authorities.as_deref(), proxies);
            SharedHttpConnector::new(ByHost {
                proxied: connector(ProxyConfig::from_env()),
                direct: connector(ProxyConfig::disabled()),
            })
        };
        pool.get_or_init(connect).clone()
    })
}

fn connector(
    settings: &HttpConnectorSettings,
    components: &RuntimeComponents,
    authorities: Option<&[u8]>,
    proxies: ProxyConfig,
) -> SharedHttpConnector {
    let trust =
        authorities.map_or_else(TrustStore::default, |pem| TrustStore::empty().with_pem_certificate(pem));
    // It cannot fail: the SDK reads the certificates when it connects.
    let context = TlsContext::builder().with_trust_store(trust).build();
    let mut builder = Connector::builder()
        .connector_settings(settings.clone())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context.unwrap_or_default())
        .proxy_config(proxies);
    builder.set_sleep_impl(components.sleep_impl());
    SharedHttpConnector::new(builder.build())
}

// === impl ByHost ===

impl HttpConnector for ByHost {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri: Result<http::Uri, _> = request.uri().parse();
        let is_direct = uri.is_ok_and(|uri| uri.host().is_some_and(is_direct));
        if is_direct { self.direct.call(request) } else { self.proxied.call(request) }
    }
}
